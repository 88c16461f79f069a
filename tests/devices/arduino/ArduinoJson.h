// What the sketch in docs/mqtt.md uses of the library “ArduinoJson”, 7.
#pragma once
#include <Arduino.h>

struct JsonVariant {
  JsonVariant operator[](const char *key) const;
  template <typename Value>
  JsonVariant &operator=(const Value &value);
  const char *operator|(const char *otherwise) const;
  float operator|(float otherwise) const;
};

struct JsonDocument {
  JsonVariant operator[](const char *key);
};

struct DeserializationError {
  explicit operator bool() const;
};

DeserializationError deserializeJson(JsonDocument &document, const String &text);
size_t serializeJson(const JsonDocument &document, String &text);
