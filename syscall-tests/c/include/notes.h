/* A table as text: one cell after another, each a label and what was seen there. Children write to it, too: the memory is shared. */
#include <stdarg.h>
#ifndef BEVOR_NOTES_H
#define BEVOR_NOTES_H

static struct notes {
	size_t len;
	char text[60000];
} *notes;

/* Before a child writes the first cell. */
static inline void notes_start(void)
{
	if (notes == NULL)
		notes = pages(15, true);
}
/* Adds a cell. */
__attribute__((format(printf, 1, 2), unused)) static void note(const char *format, ...)
{
	notes_start();
	if (notes->len)
		notes->text[notes->len++] = ' ';
	va_list args;
	va_start(args, format);
	int n = vsnprintf(notes->text + notes->len, sizeof notes->text - notes->len, format, args);
	va_end(args);
	require(n >= 0 && (size_t)n + 2 < sizeof notes->text - notes->len);
	notes->len += (size_t)n;
}
/* Adds a cell with a raw result. */
__attribute__((unused)) static void note_result(const char *label, long result)
{
	if (err_of(result))
		note("%s:%s", label, errno_name(err_of(result)));
	else
		note("%s:%ld", label, result);
}
/* Adds a cell with whether a call succeeded, and else why not. */
__attribute__((unused)) static void note_success(const char *label, long result)
{
	note("%s:%s", label, err_of(result) ? errno_name(err_of(result)) : "ok");
}
/* Adds a cell with bytes. */
__attribute__((unused)) static void note_bytes(const char *label, const void *bytes, size_t len)
{
	char hex[4097];
	require(len < 2048);
	for (size_t i = 0; i < len; i++)
		snprintf(hex + 2 * i, 3, "%02x", ((const unsigned char *)bytes)[i]);
	hex[2 * len] = 0;
	note("%s=%s", label, hex);
}
/* The cells so far as one observation. */
__attribute__((unused)) static void observe_notes(const char *id, const char *call)
{
	notes_start();
	observe(id, call, ret_int(0), ARGS(), STATE(f_strn("cells", notes->text, notes->len)));
	notes->len = 0;
}

/* What a call writes: it is made twice, into two patterns; a byte that then is as the pattern was both times was left alone. */
static _Alignas(64) unsigned char out_[16384], out_first_[16384];

__attribute__((unused)) static void note_extent(const char *label, long result, size_t size)
{
	char runs[256] = "";
	size_t len = 0;
	for (size_t i = 0; i < size;) {
		size_t from = i;
		while (i < size && (out_first_[i] != 0xa5 || out_[i] != 0x5a))
			i++;
		if (i > from && len < sizeof runs - 24)
			len += (size_t)snprintf(runs + len, sizeof runs - len, "%s%zu-%zu", len ? "," : "", from, i - 1);
		i += i == from;
	}
	if (err_of(result))
		note("%s:%s[%s]", label, errno_name(err_of(result)), runs);
	else
		note("%s:ok[%s]", label, runs);
}
/* `call` writes to `out_`; it is evaluated twice. */
#define EXTENT(label, size, call)                                                                                     \
	do {                                                                                                          \
		memset(out_, 0xa5, sizeof out_);                                                                      \
		(void)(call);                                                                                         \
		memcpy(out_first_, out_, sizeof out_);                                                                \
		memset(out_, 0x5a, sizeof out_);                                                                      \
		long extent_result_ = (call);                                                                         \
		note_extent(label, extent_result_, size);                                                             \
	} while (0)
#endif
