// Prints one line per thing that a C++ tool chain can get wrong.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <string>
#include <thread>
#include <vector>

int main() {
  fmt::print("answer: {:>5}\n", 42);
  fmt::print("pi: {:.4f}\n", 3.14159265);
  fmt::print("list: {}\n", std::vector<int>{1, 2, 3});

  // Thrown inside libfmt, caught here.
  try {
    (void)fmt::vformat("{:d}", fmt::make_format_args("text"));
    return 1;
  } catch (const fmt::format_error &) {
    fmt::print("exception: caught\n");
  }

  std::string said;
  std::thread([&] { said = fmt::format("thread: {}", "ran"); }).join();
  fmt::print("{}\n", said);
}
