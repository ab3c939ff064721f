/* The NDJSON encoder's inside: a buffer that holds one line. */
#ifndef BEVOR_ENCODE_H
#define BEVOR_ENCODE_H

#include "probe.h"

struct line {
	char *text;
	size_t len, cap;
};

void line_value(struct line *line, const struct value *v);
void line_plan(struct line *line, const char *const *ids, size_t n);
void line_broken(struct line *line, const char *why);
void line_end(struct line *line);
void line_observation(struct line *line, const char *id, const char *call, struct ret ret, struct fields args,
		      struct fields state);
/* Writes a fixed set of lines that holds every form of value, for the golden test. */
void golden(void (*emit)(struct line *));

#endif
