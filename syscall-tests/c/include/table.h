/* Rows of a table: what a call answers to one argument after another, as text of runs such as "0:0 1-3:EINVAL". */
#ifndef BEVOR_TABLE_H
#define BEVOR_TABLE_H

struct row {
	char text[16384];
	size_t len;
	char last[64];
	long from, to;
	bool any;
};

static inline void row_run_(struct row *row)
{
	if (!row->any)
		return;
	size_t room = sizeof row->text - row->len;
	int n = row->from == row->to ? snprintf(row->text + row->len, room, "%s%ld:%s", row->len ? " " : "", row->from, row->last)
				     : snprintf(row->text + row->len, room, "%s%ld-%ld:%s", row->len ? " " : "", row->from, row->to, row->last);
	require(n > 0 && (size_t)n < room);
	row->len += (size_t)n;
}
/* Adds cell number `at` with `text`. */
static inline void cell_text(struct row *row, long at, const char *text)
{
	if (row->any && row->to + 1 == at && !strcmp(row->last, text)) {
		row->to = at;
		return;
	}
	row_run_(row);
	snprintf(row->last, sizeof row->last, "%s", text);
	row->from = row->to = at;
	row->any = true;
}
/* Adds cell number `at` with a raw result. */
static inline void cell(struct row *row, long at, long result)
{
	char text[32];
	if (err_of(result))
		return cell_text(row, at, errno_name(err_of(result)));
	snprintf(text, sizeof text, "%ld", result);
	cell_text(row, at, text);
}
/* The row as one observation, and an empty row. */
static inline void observe_row(struct row *row, const char *id, const char *call)
{
	row_run_(row);
	observe(id, call, ret_int(0), ARGS(), STATE(f_strn("row", row->text, row->len)));
	*row = (struct row){.len = 0};
}
/* A descriptor that was only to be made: 0, or the error. */
static inline long made(long fd)
{
	if (fd >= 0)
		must(sys(close, fd));
	return fd < 0 ? fd : 0;
}
/* F_GETFL of a descriptor that is closed then, with FD_CLOEXEC as the sign bit of an int; or the error. */
static inline long made_with(long fd)
{
	if (fd < 0)
		return fd;
	long flags = must(sys(fcntl, fd, F_GETFL)) | must(sys(fcntl, fd, F_GETFD)) << 31;
	must(sys(close, fd));
	return flags;
}
#endif
