// What the sketch in docs/mqtt.md uses of the ESP32's Arduino core, for a check of its syntax.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#define HEX 16

class String {
 public:
  String(const char *text = "");
  explicit String(long number, unsigned char base = 10);
  const char *c_str() const;
  friend String operator+(const String &, const String &);
  friend String operator+(const String &, const char *);
  friend String operator+(const String &, unsigned int);
  friend String operator+(const String &, float);
};

struct EspClass {
  void restart();
};
extern EspClass ESP;

struct HardwareSerial {
  void begin(unsigned long baud);
};
extern HardwareSerial Serial;

unsigned long millis();
void delay(uint32_t milliseconds);
long random(long below);
long random(long from, long below);
float temperatureRead();
size_t strlcpy(char *to, const char *from, size_t size);
