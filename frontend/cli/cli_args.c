#include "cli.h"
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(const char *before, const char *fmt, va_list ap) {
  fflush(stdout);
  fputs(before, stderr);
  vfprintf(stderr, fmt, ap);
  fputc('\n', stderr);
}

int cli_fail(const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  say("sinter: ", fmt, ap);
  va_end(ap);
  return CLI_FAILED;
}

int cli_usage(const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  say("sinter: ", fmt, ap);
  va_end(ap);
  return CLI_USAGE;
}

void cli_note(const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  say("note: ", fmt, ap);
  va_end(ap);
}

static int unknown(const char *word, const Option *options, int n) {
  const char **names = mem_alloc(sizeof *names * (size_t)(n + 1));
  for (int i = 0; i < n; i++) names[i] = options[i].name;
  const char *near = str_nearest(word, names, (size_t)n);
  free(names);
  return near ? cli_usage("there is no option %s; did you mean %s?", word, near)
              : cli_usage("there is no option %s", word);
}

int cli_options(int argc, char **argv, const Option *options, int n, Words *rest) {
  Words *to = rest;
  for (int i = 1; i < argc; i++) {
    const char *word = argv[i];
    if (strcmp(word, "--") == 0) {
      while (++i < argc) rest->at[rest->n++] = argv[i];
      break;
    }
    if (word[0] != '-' || !word[1] || (word[1] >= '0' && word[1] <= '9')) {
      to->at[to->n++] = word;
      continue;
    }
    size_t len = strcspn(word, "=");
    const Option *o = NULL;
    for (int k = 0; k < n && !o; k++)
      if (strncmp(options[k].name, word, len) == 0 && !options[k].name[len]) o = &options[k];
    if (!o) return unknown(word, options, n);
    const char *value = word[len] ? word + len + 1 : NULL;
    to = rest;
    if (o->flag) {
      if (value) return cli_usage("%s takes no value", o->name);
      *o->flag = true;
    } else if (o->words) {
      to = o->words;
      if (value) to->at[to->n++] = value;
    } else {
      if (!value && i + 1 < argc) value = argv[++i];
      if (!value) return cli_usage("%s wants a value", o->name);
      if (*o->value) return cli_usage("%s is given twice", o->name);
      *o->value = value;
    }
  }
  return CLI_DONE;
}

bool cli_int(const char *text, int64_t lo, int64_t hi, int64_t *out) {
  char *end;
  errno = 0;
  long long v = strtoll(text, &end, 10);
  if (end == text || *end || errno || v < lo || v > hi || *text == ' ') return false;
  *out = v;
  return true;
}

bool cli_float(const char *text, double *out) {
  char *end;
  double v = strtod(text, &end);
  if (end == text || *end || *text == ' ') return false;
  *out = v;
  return true;
}

bool split_word(const char *word, char **name, const char **text) {
  const char *eq = strchr(word, '=');
  if (!eq || eq == word) return false;
  size_t n = (size_t)(eq - word);
  *name = mem_alloc(n + 1);
  memcpy(*name, word, n);
  *text = eq + 1;
  return true;
}
