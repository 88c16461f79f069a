// What the sketch in docs/mqtt.md uses of the ESP32's Wi-Fi.
#pragma once
#include <Arduino.h>

enum wl_status_t { WL_CONNECTED = 3 };

struct WiFiClass {
  wl_status_t begin(const char *name, const char *password);
  wl_status_t status();
};
extern WiFiClass WiFi;

class Client {};
class WiFiClient : public Client {};
