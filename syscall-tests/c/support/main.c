/* The multi-call binary: run, list, golden, child. */
#include <stdarg.h>

#include "encode.h"

extern const struct probe *const __start_probes[], *const __stop_probes[];
extern const struct child *const __start_children[] __attribute__((weak)), *const __stop_children[] __attribute__((weak));

/* Where the observations go: out of the way of probes that count descriptors, and closed by execve. */
#define OBSERVATIONS 500
static long out_fd = 3;
static struct line line;

static void emit(struct line *l)
{
	for (size_t done = 0; done < l->len;) {
		long n = sys(write, out_fd, l->text + done, l->len - done);
		if (n == -EINTR)
			continue;
		if (n <= 0)
			sys(exit_group, 125);
		done += (size_t)n;
	}
	l->len = 0;
}

void observe_(const char *id, const char *call, struct ret ret, struct fields args, struct fields state)
{
	line_observation(&line, id, call, ret, args, state);
	emit(&line);
}

void broken(const char *format, ...)
{
	char why[512];
	va_list args;
	va_start(args, format);
	vsnprintf(why, sizeof why, format, args);
	va_end(args);
	line.len = 0;
	line_broken(&line, why);
	emit(&line);
	sys(exit_group, 2);
	__builtin_unreachable();
}

long must_(long ret, const char *what)
{
	if (err_of(ret))
		broken("%.400s: %s", what, errno_name(err_of(ret)));
	return ret;
}

static void take_out_fd(void)
{
	const char *name = getenv("BEVOR_OBS_FD");
	long from = name ? strtol(name, NULL, 10) : 3;
	long fd = sys(fcntl, from, F_DUPFD_CLOEXEC, OBSERVATIONS);
	out_fd = fd < 0 ? from : fd;
	if (fd >= 0)
		sys(close, from);
}

static int run(const char *id)
{
	for (const struct probe *const *p = __start_probes; p < __stop_probes; p++) {
		if (strcmp((*p)->id, id) != 0)
			continue;
		take_out_fd();
		sys(umask, 022);
		line_plan(&line, (*p)->plan, (*p)->planned);
		emit(&line);
		(*p)->run();
		line_end(&line);
		emit(&line);
		return 0;
	}
	fprintf(stderr, "probes-c: no probe `%s`; `probes-c list` names them\n", id);
	return 64;
}

int main(int argc, char **argv, char **envp)
{
	if (argc == 3 && strcmp(argv[1], "run") == 0)
		return run(argv[2]);
	if (argc == 2 && strcmp(argv[1], "list") == 0) {
		for (const struct probe *const *p = __start_probes; p < __stop_probes; p++)
			puts((*p)->id);
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "golden") == 0) {
		out_fd = 1;
		golden(emit);
		return 0;
	}
	if (argc >= 3 && strcmp(argv[1], "child") == 0)
		for (const struct child *const *c = __start_children; c < __stop_children; c++)
			if (strcmp((*c)->name, argv[2]) == 0)
				return (*c)->run(argc - 3, argv + 3, envp);
	fprintf(stderr, "usage: probes-c run PROBE | list | golden\n");
	return 64;
}
