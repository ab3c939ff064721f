/* What /proc tells of descriptors and threads, and that it tells it anew when read again. */
#include "probe.h"

static char text[4096];

/* The rest of the line after `key` in `path`. */
static const char *line(const char *path, const char *key)
{
	static char found[256];
	memset(text, 0, sizeof text);
	get_file(path, text, sizeof text - 1);
	char *at = strstr(text, key);
	if (at == NULL)
		return "absent";
	at += strlen(key);
	size_t len = strcspn(at, "\n");
	snprintf(found, sizeof found, "%.*s", (int)len, at);
	return found;
}

static const char *fdinfo(long fd, const char *key)
{
	char path[40];
	snprintf(path, sizeof path, "/proc/self/fdinfo/%ld", fd);
	return line(path, key);
}

static uint64_t link_mode(long fd)
{
	char path[40];
	snprintf(path, sizeof path, "/proc/self/fd/%ld", fd);
	return lstat_of(path).st_mode;
}

static int waits(void *unused)
{
	(void)unused;
	int32_t word = 0;
	struct timespec t = {20, 0};
	sys(futex, &word, FUTEX_WAIT, 0, &t);
	return 0;
}

PROBE("procfs/descriptors", "position", "moved", "flags", "cloexec", "eventfd", "read_only", "write_only", "both", "read_again", "threads", "table_size", "table_grown", "closed", "missing")
{
	put_file("f", "0123456789", 10);
	long fd = must(sys(openat, AT_FDCWD, "f", O_RDONLY));
	observe("position", "read", ret_int(0), ARGS(), STATE(f_str("pos", fdinfo(fd, "pos:\t"))));
	must(sys(lseek, fd, 7, SEEK_SET));
	observe("moved", "read", ret_int(0), ARGS(), STATE(f_str("pos", fdinfo(fd, "pos:\t"))));
	long w = must(sys(openat, AT_FDCWD, "f", O_WRONLY | O_APPEND | O_NONBLOCK));
	observe("flags", "read", ret_int(0), ARGS(f_hex("flags", O_WRONLY | O_APPEND | O_NONBLOCK)), STATE(f_str("flags", fdinfo(w, "flags:\t"))));
	must(sys(fcntl, w, F_SETFD, FD_CLOEXEC));
	observe("cloexec", "read", ret_int(0), ARGS(), STATE(f_str("flags", fdinfo(w, "flags:\t"))));
	long event = must(sys(eventfd2, 0x1234, 0));
	observe("eventfd", "read", ret_int(0), ARGS(), STATE(f_str("count", fdinfo(event, "eventfd-count:"))));
	long rw = must(sys(openat, AT_FDCWD, "f", O_RDWR));
	observe("read_only", "newfstatat", ret_hex((long)link_mode(fd)), ARGS(), STATE());
	observe("write_only", "newfstatat", ret_hex((long)link_mode(w)), ARGS(), STATE());
	observe("both", "newfstatat", ret_hex((long)link_mode(rw)), ARGS(), STATE());
	long comm = must(sys(openat, AT_FDCWD, "/proc/self/comm", O_RDWR));
	must(sys(write, comm, "first", 5));
	char a[16] = "", b[16] = "";
	must(sys(pread64, comm, a, 2, 0));
	must(sys(prctl, 15, "second"));
	long r = sys(pread64, comm, b, 16, 0);
	observe("read_again", "pread64", ret_int(r), ARGS(f_int("offset", 0)), STATE(f_str("before", a), f_str("after", b)));
	char value[64];
	proc_status(0, "Threads", value, sizeof value);
	char alone[64];
	memcpy(alone, value, sizeof alone);
	struct thread t[2];
	thread_start(&t[0], waits, NULL);
	thread_start(&t[1], waits, NULL);
	proc_status(0, "Threads", value, sizeof value);
	observe("threads", "read", ret_int(0), ARGS(), STATE(f_str("alone", alone), f_str("with_two", value)));
	proc_status(0, "FDSize", value, sizeof value);
	char small[64];
	memcpy(small, value, sizeof small);
	must(sys(dup2, fd, 100));
	proc_status(0, "FDSize", value, sizeof value);
	observe("table_size", "read", ret_int(0), ARGS(), STATE(f_bool("multiple", atoi(small) > 0 && atoi(small) % 64 == 0)));
	observe("table_grown", "dup2", ret_int(100), ARGS(), STATE(f_bool("multiple", atoi(value) % 64 == 0), f_bool("enough", atoi(value) > 100)));
	must(sys(close, 100));
	observe("closed", "readlink", ret_int(sys(readlink, "/proc/self/fd/100", text, sizeof text)), ARGS(), STATE(f_int("open", sys(openat, AT_FDCWD, "/proc/self/fd/100", O_RDONLY))));
	observe("missing", "openat", ret_fd(sys(openat, AT_FDCWD, "/proc/self/fdinfo/4000", O_RDONLY)), ARGS(), STATE(f_int("name", sys(openat, AT_FDCWD, "/proc/self/fd/01", O_RDONLY))));
}
