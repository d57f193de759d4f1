// One line on stderr, without stdio: it must not allocate, and it may be in a signal handler.
#pragma once

#include "interpose/syscall.h"

namespace memmap::interpose {

class Line {
 public:
  Line() { *this << "memmap run: "; }
  // Paths may hold anything: nothing in them steers the terminal.
  Line& operator<<(const char* text) {
    for (; *text != '\0'; ++text) {
      const auto byte = static_cast<unsigned char>(*text);
      put(byte < 32 || byte == 127 ? '?' : *text);
    }
    return *this;
  }
  Line& operator<<(uint64_t number) { return digits(number, 10); }
  Line& hex(uint64_t number) { return (*this << "0x").digits(number, 16); }
  void print() {
    put('\n');
    syscalls::write(2, text_, length_);
  }

 private:
  void put(char c) {
    if (length_ < sizeof text_) text_[length_++] = c;
  }
  Line& digits(uint64_t number, unsigned base) {
    char reversed[20];
    size_t count = 0;
    do {
      reversed[count++] = "0123456789abcdef"[number % base];
      number /= base;
    } while (number != 0);
    while (count > 0) put(reversed[--count]);
    return *this;
  }

  char text_[512];
  size_t length_ = 0;
};

}  // namespace memmap::interpose
