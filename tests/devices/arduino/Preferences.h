// What the sketch in docs/mqtt.md uses of the ESP32's flash.
#pragma once
#include <Arduino.h>

struct Preferences {
  bool begin(const char *name, bool readOnly = false);
  size_t putUInt(const char *key, uint32_t value);
  uint32_t getUInt(const char *key, uint32_t defaultValue = 0);
  size_t putBytes(const char *key, const void *value, size_t size);
  size_t getBytes(const char *key, void *buffer, size_t size);
};
