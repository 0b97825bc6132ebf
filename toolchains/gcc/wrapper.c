/* The compiler wrapper: adds flags in front of and behind the caller's, then becomes the real compiler.
 *
 * config.h, written by wrapper.sh, holds the paths and the flags of one target.
 *
 * Added when compiling (the caller's flags come later and win):
 *   --sysroot                unless the caller names one
 *   the CPU's flags          unless the caller has -mcpu=, -march= or -mabi=ilp32
 *   -ffile-prefix-map=       the build directory becomes ".", the toolchain "/usr": neither shows in an output
 *   hardening                as NIX_HARDENING_ENABLE says (default: DEFAULT_HARDENING below)
 *   -frandom-seed            the package's name, so that names GCC invents do not change from build to build
 *   $NIX_CFLAGS_COMPILE      behind the caller's flags
 * Added when linking:
 *   -dynamic-linker          in the store, unless nothing is loaded (-static, -static-pie, -shared, -r)
 *   -rpath                   DT_RPATH and not DT_RUNPATH: it also serves the libraries that a library needs, and a stray
 *                            LD_LIBRARY_PATH does not win over it. Not in static programs: a static-pie of glibc does not
 *                            even start with one
 *   $NIX_CFLAGS_LINK, $NIX_LDFLAGS (the latter in ld's own syntax), behind the caller's flags
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

#define DEFAULT_HARDENING "bindnow format fortify pie relro stackclashprotection stackprotector"

static const char **list;
static size_t used, room;

static _Noreturn void die(const char *what, const char *name) {
  fprintf(stderr, "compiler wrapper: %s %s: %s\n", what, name, strerror(errno));
  exit(127);
}

static void *need(void *memory) {
  if (!memory) die("cannot", "allocate memory");
  return memory;
}

static void add(const char *arg) {
  if (used == room) {
    room = room ? 2 * room : 256;
    list = need(realloc(list, room * sizeof *list));
  }
  list[used++] = arg;
}

static void add_all(const char *const *args) {
  while (*args) add(*args++);
}

static char *join(const char *a, const char *b, const char *c) {
  char *text = need(malloc(strlen(a) + strlen(b) + strlen(c) + 1));
  return strcat(strcat(strcpy(text, a), b), c);
}

/* The words of a variable. */
static void add_words(const char *variable) {
  const char *value = getenv(variable);
  if (!value) return;
  char *rest = need(strdup(value)), *word;
  while ((word = strsep(&rest, " \t\n")))
    if (*word) add(word);
}

/* The words of NIX_LDFLAGS, as options for ld; without `-rpath DIR` unless `rpaths`. */
static void add_linker_words(bool rpaths) {
  const char *value = getenv("NIX_LDFLAGS");
  if (!value) return;
  char *rest = need(strdup(value)), *word;
  bool skip = false;
  while ((word = strsep(&rest, " \t\n"))) {
    if (!*word) continue;
    if (skip) {
      skip = false;
    } else if (!rpaths && strcmp(word, "-rpath") == 0) {
      skip = true;
    } else {
      add("-Xlinker");
      add(word);
    }
  }
}

static bool starts(const char *arg, const char *with) { return strncmp(arg, with, strlen(with)) == 0; }

static bool is_one_of(const char *arg, const char *const *options) {
  for (; *options; options++)
    if (strcmp(arg, *options) == 0) return true;
  return false;
}

static bool has_word(const char *words, const char *word) {
  size_t length = strlen(word);
  for (const char *at = words; (at = strstr(at, word)); at += length)
    if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == 0)) return true;
  return false;
}

/* Options whose value is the next argument: it is no input file. */
static const char *const with_value[] = {
  "-o", "-x", "-I", "-L", "-D", "-U", "-l", "-u", "-z", "-A", "-B", "-T", "-e", "-MF", "-MT", "-MQ", "-include", "-imacros",
  "-isystem", "-iquote", "-idirafter", "-iprefix", "-iwithprefix", "-iwithprefixbefore", "-isysroot", "-imultilib", "-aux-info", "-dumpbase",
  "-dumpdir", "-dumpbase-ext", "--param", "--sysroot", "-Xlinker", "-Xassembler", "-Xpreprocessor", "-wrapper", "-specs", 0
};
static const char *const no_link[] = { "-c", "-S", "-E", "-M", "-MM", "-fsyntax-only", 0 };

int main(int argc, char **argv) {
  /* aarch64-linux-gnu-g++-12 is called g++. */
  const char *name = argc > 0 ? argv[0] : "gcc";
  if (strrchr(name, '/')) name = strrchr(name, '/') + 1;
  const char *tool = "gcc";
  if (strstr(name, "g++") || strstr(name, "c++")) tool = "g++";
  else if (strstr(name, "cpp")) tool = "cpp";

  bool link = strcmp(tool, "cpp") != 0, input = false, relocatable = false, shared = false, is_static = false;
  bool own_cpu = false, own_sysroot = false, own_fortify = false, optimised = false;
  for (int i = 1; i < argc; i++) {
    const char *arg = argv[i];
    if (arg[0] != '-' || arg[1] == 0) input = true;
    else if (is_one_of(arg, no_link)) link = false;
    else if (strcmp(arg, "-shared") == 0) shared = true;
    else if (strcmp(arg, "-static") == 0 || strcmp(arg, "-static-pie") == 0 || strcmp(arg, "--static") == 0) is_static = true;
    else if (strcmp(arg, "-r") == 0) relocatable = true;
    else if (starts(arg, "-mcpu=") || starts(arg, "-march=") || strcmp(arg, "-mabi=ilp32") == 0) own_cpu = true;
    else if (starts(arg, "--sysroot")) own_sysroot = true;
    else if (starts(arg, "-O")) optimised = strcmp(arg, "-O0") != 0;
    else if (strstr(arg, "_FORTIFY_SOURCE") || starts(arg, "-fsanitize=")) own_fortify = true;
    /* The value of `-D NAME` may be the macro that matters here. */
    if (is_one_of(arg, with_value) && i + 1 < argc && strstr(argv[++i], "_FORTIFY_SOURCE")) own_fortify = true;
  }
  link = link && input;

  const char *hardening = getenv("NIX_HARDENING_ENABLE");
  if (!hardening) hardening = DEFAULT_HARDENING;

  const char *program = join(REAL_PREFIX, tool, "");
  add(program);
  if (!own_sysroot) add("--sysroot=" SYSROOT);
  if (!own_cpu) add_all(cpu_flags);
  const char *top = getenv("NIX_BUILD_TOP"), *seed = getenv("pname");
  if (top && *top) add(join("-ffile-prefix-map=", top, "=."));
  add_all(compile_flags);
  if (seed && *seed) add(join("-frandom-seed=", seed, ""));
  if (has_word(hardening, "format")) add("-Wformat"), add("-Werror=format-security");
  if (has_word(hardening, "stackprotector")) add("-fstack-protector-strong"), add("--param=ssp-buffer-size=4");
  if (has_word(hardening, "stackclashprotection")) add("-fstack-clash-protection");
  /* Without optimisation glibc's fortify is nothing but a warning. */
  if (has_word(hardening, "fortify") && optimised && !own_fortify) add("-D_FORTIFY_SOURCE=2");
  /* This GCC makes position-independent executables of its own accord. */
  if (!has_word(hardening, "pie")) {
    add("-fno-pie");
    if (link && !shared) add("-no-pie");
  }

  for (int i = 1; i < argc; i++) add(argv[i]);

  add_words("NIX_CFLAGS_COMPILE");
  if (link && !relocatable) {
    if (has_word(hardening, "relro")) add("-Wl,-z,relro");
    if (has_word(hardening, "bindnow")) add("-Wl,-z,now");
    if (!is_static && !shared) add("-Wl,-dynamic-linker," DYNAMIC_LINKER);
    add_words("NIX_CFLAGS_LINK");
    add_linker_words(!is_static);
    add_all(library_flags);
    if (!is_static) {
      add("-Wl,--disable-new-dtags");
      add_all(rpath_flags);
    }
  }
  add(0);
  execv(program, (char *const *)list);
  die("cannot run", program);
}
