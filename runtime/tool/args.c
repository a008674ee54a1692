#include "call.h"
#include "os.h"
#include "rt.h"

/* One write, so that sentences of several processes do not mix. */
static void say(const char *before, const char *colon, const char *fmt, va_list ap) {
  Text t = {0};
  text_printf(&t, "%s%s", before, colon);
  text_vprintf(&t, fmt, ap);
  text_put(&t, "\n");
  if (!t.lost) os_write(OS_ERROR, t.at, t.n);
  text_free(&t);
}

int cli_fail(const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  say(cli_name(), ": ", fmt, ap);
  va_end(ap);
  return CLI_FAILED;
}

int cli_usage(const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  say(cli_name(), ": ", fmt, ap);
  va_end(ap);
  return CLI_USAGE;
}

void cli_note(const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  say("note", ": ", fmt, ap);
  va_end(ap);
}

int cli_print(const Text *t) {
  if (t->lost) return cli_fail("no memory");
  int e = os_write(OS_OUTPUT, t->at, t->n);
  return e ? cli_fail("cannot write to the standard output: %s", rt_error(e)) : CLI_DONE;
}

void *cli_alloc(size_t bytes) {
  void *p = os_alloc(bytes);
  if (!p) {
    static const char sentence[] = ": no memory\n";
    os_write(OS_ERROR, cli_name(), text_length(cli_name()));
    os_write(OS_ERROR, sentence, sizeof sentence - 1);
    os_exit(CLI_FAILED);
  }
  return p;
}

static int unknown(const char *word, const Option *options, int n) {
  const char **names = cli_alloc(sizeof *names * (size_t)(n + 1));
  for (int i = 0; i < n; i++) names[i] = options[i].name;
  const char *near = text_nearest(word, names, (size_t)n);
  os_free(names);
  return near ? cli_usage("there is no option %s; did you mean %s?", word, near)
              : cli_usage("there is no option %s", word);
}

int cli_options(int argc, char **argv, const Option *options, int n, Words *rest) {
  Words *to = rest;
  for (int i = 1; i < argc; i++) {
    const char *word = argv[i];
    if (rt_equal(word, "--")) {
      while (++i < argc) rest->at[rest->n++] = argv[i];
      break;
    }
    if (word[0] != '-' || !word[1] || (word[1] >= '0' && word[1] <= '9')) {
      to->at[to->n++] = word;
      continue;
    }
    const char *equals = text_find(word, '=');
    size_t len = equals ? (size_t)(equals - word) : text_length(word);
    const Option *o = NULL;
    for (int k = 0; k < n && !o; k++)
      if (text_length(options[k].name) == len && memcmp(options[k].name, word, len) == 0) o = &options[k];
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

bool cli_wants_help(int argc, char **argv) {
  for (int i = 1; i < argc && !rt_equal(argv[i], "--"); i++)
    if (rt_equal(argv[i], "--help") || rt_equal(argv[i], "-h")) return true;
  return false;
}

bool split_word(const char *word, char **name, const char **text) {
  const char *eq = text_find(word, '=');
  if (!eq || eq == word) return false;
  size_t n = (size_t)(eq - word);
  *name = cli_alloc(n + 1);
  memcpy(*name, word, n);
  *text = eq + 1;
  return true;
}
