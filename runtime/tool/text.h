/* Text and numbers for libsinter and for executables, which have no C library: nothing here wants one. */
#ifndef SINTER_TEXT_H
#define SINTER_TEXT_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Text { /* begins as zeros; `at` ends in NUL, and is NULL while it is empty */
  char *at;
  size_t n, cap;
  bool fixed; /* the memory is the caller's: what does not fit is left out */
  bool lost;  /* something was left out, for want of room or memory */
} Text;

void text_write(Text *, const void *, size_t);
char *text_room(Text *, size_t n); /* where n bytes may be put before t->n is raised; NULL: no memory */
void text_put(Text *, const char *);
/* Of printf's formats: %s %c %d %u %x %lld %llu %zu %%, a width, and a precision of %s. */
void text_printf(Text *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void text_vprintf(Text *, const char *fmt, va_list) __attribute__((format(printf, 2, 0)));
void text_free(Text *);
void text_into(char *to, size_t room, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

size_t text_length(const char *);
const char *text_find(const char *, char); /* where the character is; NULL if nowhere */
/* The word that differs least, if it differs little: for "did you mean". */
const char *text_nearest(const char *word, const char *const *words, size_t n);

/* ---- number.c ---- */
enum { NUMBER_ROOM = 40 };
/* The fewest digits, at most `digits`, that read back as the same number: as an f32 for 9 digits, as an f64 for 17. At
 * least one digit after the point below 1e9; an exponent below 1e-4, and from 1e9 on where it is shorter. Returns
 * `out`. */
char *number_text(char out[NUMBER_ROOM], double, int digits);
/* The whole text is a decimal number, inf or nan: the nearest f64, ties to even. */
bool number_read(const char *text, double *out);
/* The whole text is an integer from lo to hi. */
bool number_read_int(const char *text, int64_t lo, int64_t hi, int64_t *out);
#endif
