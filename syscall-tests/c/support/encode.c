/* Typed values to NDJSON. rust/src/encode.rs is the same in Rust; golden/encoder.ndjson holds both to it. */
#include "encode.h"

static void put(struct line *line, const char *data, size_t n)
{
	if (line->len + n > line->cap) {
		size_t cap = (line->len + n) * 2;
		char *text = realloc(line->text, cap);
		if (text == NULL)
			sys(exit_group, 125);
		line->text = text;
		line->cap = cap;
	}
	memcpy(line->text + line->len, data, n);
	line->len += n;
}

static void puts_(struct line *line, const char *text) { put(line, text, strlen(text)); }

static void put_signed(struct line *line, int64_t v)
{
	char text[24];
	put(line, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)v));
}

static void put_unsigned(struct line *line, uint64_t v, const char *format)
{
	char text[24];
	put(line, text, (size_t)snprintf(text, sizeof text, format, (unsigned long long)v));
}

/* Length of the UTF-8 sequence at `s` (at most `n` bytes), 0 if it is none. */
static size_t sequence(const unsigned char *s, size_t n)
{
	size_t len = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] >= 0x90))
		return 0;
	return len;
}

static void put_string(struct line *line, const char *text, size_t n)
{
	const unsigned char *s = (const unsigned char *)text;
	put(line, "\"", 1);
	for (size_t i = 0; i < n;) {
		size_t len = sequence(s + i, n - i);
		if (len == 0) {
			puts_(line, "\\ufffd");
			i++;
			continue;
		}
		if (s[i] == '"' || s[i] == '\\') {
			put(line, "\\", 1);
			put(line, text + i, 1);
		} else if (s[i] < 0x20 || s[i] == 0x7f) {
			put_unsigned(line, s[i], "\\u%04llx");
		} else {
			put(line, text + i, len);
		}
		i += len;
	}
	put(line, "\"", 1);
}

static void put_fields(struct line *line, const struct field *items, size_t n)
{
	put(line, "{", 1);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			put(line, ",", 1);
		put_string(line, items[i].name, strlen(items[i].name));
		put(line, ":", 1);
		line_value(line, &items[i].v);
	}
	put(line, "}", 1);
}

static void put_values(struct line *line, const struct value *items, size_t n)
{
	put(line, "[", 1);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			put(line, ",", 1);
		line_value(line, &items[i]);
	}
	put(line, "]", 1);
}

static void put_bytes(struct line *line, const unsigned char *data, size_t n)
{
	put(line, "\"", 1);
	for (size_t i = 0; i < n; i++)
		put_unsigned(line, data[i], "%02llx");
	put(line, "\"", 1);
}

void line_value(struct line *line, const struct value *v)
{
	static const char *const names[] = {
		[V_INT] = "int", [V_UINT] = "uint", [V_HEX] = "hex", [V_BOOL] = "bool", [V_STR] = "str",
		[V_BYTES] = "bytes", [V_ERRNO] = "errno", [V_FD] = "fd", [V_PID] = "pid", [V_INO] = "ino",
		[V_DEV] = "dev", [V_ADDR] = "addr", [V_TIME] = "time", [V_DUR] = "dur", [V_REL] = "rel",
		[V_SET] = "set", [V_LIST] = "list", [V_MAP] = "map",
	};
	puts_(line, "{\"t\":\"");
	puts_(line, names[v->type]);
	puts_(line, "\",\"v\":");
	switch (v->type) {
	case V_INT: case V_FD: case V_PID: case V_TIME: put_signed(line, v->i); break;
	case V_UINT: case V_INO: case V_DEV: put_unsigned(line, v->u, "%llu"); break;
	case V_HEX: case V_ADDR: put_unsigned(line, v->u, "\"0x%llx\""); break;
	case V_BOOL: puts_(line, v->i ? "true" : "false"); break;
	case V_STR: put_string(line, v->data, v->len); break;
	case V_BYTES: put_bytes(line, v->data, v->len); break;
	case V_ERRNO: put_string(line, errno_name(v->i), strlen(errno_name(v->i))); break;
	case V_REL: put_string(line, v->data, strlen(v->data)); break;
	case V_DUR:
		put_signed(line, v->i);
		puts_(line, ",\"min\":");
		put_signed(line, v->min);
		puts_(line, ",\"max\":");
		put_signed(line, v->max);
		break;
	case V_SET: case V_LIST: put_values(line, v->data, v->len); break;
	case V_MAP: put_fields(line, v->data, v->len); break;
	}
	put(line, "}", 1);
}

void line_plan(struct line *line, const char *const *ids, size_t n)
{
	puts_(line, "{\"plan\":[");
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			put(line, ",", 1);
		put_string(line, ids[i], strlen(ids[i]));
	}
	puts_(line, "]}\n");
}

void line_broken(struct line *line, const char *why)
{
	puts_(line, "{\"broken\":");
	put_string(line, why, strlen(why));
	puts_(line, "}\n");
}

void line_end(struct line *line) { puts_(line, "{\"end\":true}\n"); }

void line_observation(struct line *line, const char *id, const char *call, struct ret ret, struct fields args,
		      struct fields state)
{
	puts_(line, "{\"obs\":");
	put_string(line, id, strlen(id));
	puts_(line, ",\"call\":");
	put_string(line, call, strlen(call));
	puts_(line, ",\"args\":");
	put_fields(line, args.items, args.len);
	puts_(line, ",\"ret\":");
	int err = err_of(ret.raw);
	struct value failed = v_int(-1);
	line_value(line, err ? &failed : &ret.v);
	puts_(line, ",\"errno\":");
	if (err)
		put_string(line, errno_name(err), strlen(errno_name(err)));
	else
		puts_(line, "null");
	puts_(line, ",\"state\":");
	put_fields(line, state.items, state.len);
	puts_(line, "}\n");
}
