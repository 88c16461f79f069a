// What the sketch in docs/mqtt.md uses of the library “MQTT”, 2.5.
#pragma once
#include <WiFi.h>

struct MQTTClient {
  MQTTClient(int readBufferSize, int writeBufferSize);
  void begin(const char hostname[], int port, Client &network);
  void onMessage(void (*callback)(String &topic, String &payload));
  void setWill(const char topic[], const char payload[], bool retained, int qos);
  void setOptions(int keepAlive, bool cleanSession, int timeout);
  void dropOverflow(bool enabled);
  bool connect(const char clientId[], const char username[], const char password[]);
  bool connected();
  bool disconnect();
  bool loop();
  bool subscribe(const String &topic, int qos);
  bool publish(const String &topic, const String &payload, bool retained, int qos);
};
