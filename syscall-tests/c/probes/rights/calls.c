/* Each call that looks at ids or capabilities, by root, by the owner, by a member of the group, by another, by the real user only, and by
 * another with one capability: what is answered. */
#include "probe.h"
#include "notes.h"
#include "table.h"
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>

enum { OWNER = 1000, GROUP = 2000, OTHER = 3000 };

/* Who calls: root, the owner, of the group by gid or supplementary, another, who is the owner by real or by effective id only. */
#define WHOS(X) \
	X(root, 0, 0, 0, -1, -1) \
	X(powerless, 0, 0, 0, -1, -2) \
	X(owner, OWNER, OWNER, OTHER, -1, -1) \
	X(group, OTHER, OTHER, GROUP, -1, -1) \
	X(member, OTHER, OTHER, OTHER, GROUP, -1) \
	X(other, OTHER, OTHER, OTHER, -1, -1) \
	X(real, OWNER, OTHER, OTHER, -1, -1) \
	X(effective, OTHER, OWNER, OTHER, -1, -1) \
	X(chown, OTHER, OTHER, OTHER, -1, CAP_CHOWN) \
	X(fowner, OTHER, OTHER, OTHER, -1, CAP_FOWNER) \
	X(fsetid, OWNER, OWNER, OTHER, -1, CAP_FSETID) \
	X(override, OTHER, OTHER, OTHER, -1, CAP_DAC_OVERRIDE) \
	X(search, OTHER, OTHER, OTHER, -1, CAP_DAC_READ_SEARCH) \
	X(kill, OTHER, OTHER, OTHER, -1, CAP_KILL) \
	X(nice, OTHER, OTHER, OTHER, -1, CAP_SYS_NICE) \
	X(ptrace, OTHER, OTHER, OTHER, -1, CAP_SYS_PTRACE) \
	X(admin, OTHER, OTHER, OTHER, -1, CAP_SYS_ADMIN) \
	X(mknod, OTHER, OTHER, OTHER, -1, CAP_MKNOD) \
	X(chroot, OTHER, OTHER, OTHER, -1, CAP_SYS_CHROOT) \
	X(setpcap, OTHER, OTHER, OTHER, -1, CAP_SETPCAP) \
	X(setgid, OTHER, OTHER, OTHER, -1, CAP_SETGID) \
	X(setuid, OTHER, OTHER, OTHER, -1, CAP_SETUID) \
	X(ipc_lock, OTHER, OTHER, OTHER, -1, CAP_IPC_LOCK) \
	X(lease, OTHER, OTHER, OTHER, -1, CAP_LEASE) \
	X(tty, OTHER, OTHER, OTHER, -1, CAP_SYS_TTY_CONFIG)
static const struct who {
	const char *name;
	int ruid, euid, gid, extra, cap;
} whos[] = {
#define ROW(name, ...) {#name, __VA_ARGS__},
	WHOS(ROW)
};

static void become(const struct who *w)
{
	gid_t extra = (gid_t)w->extra;
	must(sys(setgroups, w->extra >= 0, &extra));
	must(sys(setresgid, w->gid, w->gid, w->gid));
	if (w->ruid || w->cap != -1) {
		must(sys(prctl, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0));
		must(sys(setresuid, w->ruid, w->euid, w->euid));
		uint32_t header[2] = {0x20080522, 0}, sets[6] = {0};
		if (w->cap >= 0) {
			uint32_t bit = 1u << (w->cap & 31);
			sets[w->cap / 32 * 3] = sets[w->cap / 32 * 3 + 1] = bit;
		}
		must(sys(capset, header, sets));
	}
	must(sys(prctl, PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static long target, own_fd, read_fd, in_memory;
static char text[64];
static bool powerful;

static void own(const char *path, int mode)
{
	must(sys(chown, path, OWNER, GROUP));
	must(sys(chmod, path, mode));
}

static void fresh(void)
{
	char path[64];
	must(sys(umask, 0));
	snprintf(path, sizeof path, "w%ld", must(sys(gettid)));
	must(sys(mkdir, path, 0777));
	must(sys(chdir, path));
	put_file("f", "0123456789", 10);
	put_file("shut", "0123456789", 10);
	must(sys(mkdir, "d", 0700));
	must(sys(mkdir, "sticky", 0700));
	put_file("d/in", "x", 1);
	put_file("sticky/in", "x", 1);
	put_file("sticky/root", "x", 1);
	must(sys(setxattr, "f", "user.a", "v", 1, 0));
	/* A file in memory, for trusted attributes are not on every file system. */
	in_memory = must(sys(memfd_create, "m", 0));
	must(sys(fchown, in_memory, OWNER, GROUP));
	must(sys(fsetxattr, in_memory, "trusted.a", "v", 1, 0));
	own("f", 0640);
	own("shut", 0);
	own("d/in", 0640);
	own("d", 0750);
	own("sticky/in", 0666);
	own("sticky", 01777);
	must(sys(mkdir, "group", 0700));
	own("group", 02775);
}

static void files(void)
{
	struct timespec t[2] = {{1, 2}, {3, 4}}, now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}}, half[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
	char b[64];
	note_success("read", made(sys(open, "f", O_RDONLY)));
	note_success("write", made(sys(open, "f", O_WRONLY)));
	note_success("read_shut", made(sys(open, "shut", O_RDONLY)));
	note_success("write_shut", made(sys(open, "shut", O_RDWR)));
	note_success("trunc", made(sys(open, "shut", O_RDONLY | O_TRUNC)));
	note_success("noatime", made(sys(open, "f", O_RDONLY | O_NOATIME)));
	note_success("noatime_fcntl", sys(fcntl, read_fd, F_SETFL, O_NOATIME));
	note_success("path", made(sys(open, "d/in", O_PATH)));
	note_success("list", made(sys(open, "d", O_RDONLY)));
	note_success("access_r", sys(access, "f", R_OK));
	note_success("access_w", sys(access, "f", W_OK));
	note_success("access_x", sys(access, "f", X_OK));
	note_success("eaccess_r", sys(faccessat2, AT_FDCWD, "f", R_OK, AT_EACCESS));
	note_success("eaccess_w", sys(faccessat2, AT_FDCWD, "f", W_OK, AT_EACCESS));
	note_success("access_in", sys(access, "d/in", F_OK));
	note_success("access_dir", sys(access, "d", R_OK | W_OK | X_OK));
	note_success("stat_in", lstat_errno("d/in") ? -lstat_errno("d/in") : 0);
	note_success("truncate", sys(truncate, "f", 10));
	note_success("getxattr", sys(getxattr, "f", "user.a", b, 64));
	note_success("get_trusted", sys(fgetxattr, in_memory, "trusted.a", b, 64));
	note_result("listxattr", sys(listxattr, "f", b, 64));
	note_result("list_trusted", sys(flistxattr, in_memory, b, 64));
	note_success("setxattr", sys(setxattr, "f", "user.b", "v", 1, 0));
	note_success("set_trusted", sys(fsetxattr, in_memory, "trusted.b", "v", 1, 0));
	note_success("remove", sys(removexattr, "f", "user.a"));
	note_success("remove_trusted", sys(fremovexattr, in_memory, "trusted.a"));
	note_success("set_dir", sys(setxattr, "sticky", "user.b", "v", 1, 0));
	note_success("utimes", sys(utimensat, AT_FDCWD, "f", t, 0));
	note_success("now", sys(utimensat, AT_FDCWD, "f", now, 0));
	note_success("null", sys(utimensat, AT_FDCWD, "f", NULL, 0));
	note_success("half", sys(utimensat, AT_FDCWD, "f", half, 0));
	note_success("now_shut", sys(utimensat, AT_FDCWD, "shut", now, 0));
	note_success("futimens", sys(utimensat, own_fd, NULL, t, 0));
	note_success("chdir", sys(chdir, "d"));
	note_success("back", sys(chdir, ".."));
}

static void names(void)
{
	note_success("create_d", made(sys(open, "d/new", O_CREAT | O_WRONLY, 0600)));
	note_success("mkdir_d", sys(mkdir, "d/dir", 0700));
	note_success("unlink_d", sys(unlink, "d/in"));
	note_success("create_sticky", made(sys(open, "sticky/new", O_CREAT | O_WRONLY, 0600)));
	note_success("rename_over", sys(rename, "sticky/new", "sticky/root"));
	note_success("rename_away", sys(rename, "sticky/in", "sticky/in2"));
	note_success("rename_back", sys(rename, "sticky/in2", "sticky/in"));
	note_success("link", sys(link, "f", "sticky/link"));
	note_success("link_shut", sys(link, "shut", "sticky/link2"));
	note_success("link_in", sys(link, "sticky/in", "sticky/link3"));
	long mine = sys(open, "f", O_RDONLY);
	note_success("by_descriptor", mine < 0 ? mine : sys(linkat, mine, "", AT_FDCWD, "sticky/byfd", AT_EMPTY_PATH));
	note_success("unlink_sticky", sys(unlink, "sticky/in"));
	note_success("unlink_root", sys(unlink, "sticky/root"));
	note_success("fifo", sys(mknod, "fifo", S_IFIFO | 0600, 0));
	note_success("reg", sys(mknod, "reg", S_IFREG | 0600, 0));
	note_success("sock", sys(mknod, "sock", S_IFSOCK | 0600, 0));
	note_success("symlink", sys(symlink, "x", "d/s"));
	struct stat st;
	long fd = sys(open, "group/made", O_CREAT | O_WRONLY, 0777);
	note_success("in_group", made(fd));
	if (!sys(stat, "group/made", &st))
		note("made:%o/%d", st.st_mode & 07777, st.st_gid);
	if (!sys(mkdir, "group/dir", 0755) && !sys(stat, "group/dir", &st))
		note("dir:%o/%d", st.st_mode & 07777, st.st_gid);
	note_success("rename_f", sys(rename, "f", "d/f"));
}

static const char *mode_of(const char *path)
{
	struct stat st = {0};
	sys(stat, path, &st);
	snprintf(text, sizeof text, "%o/%d/%d", st.st_mode & 07777, st.st_uid, st.st_gid);
	return text;
}

static void attributes(void)
{
	struct stat st;
	long fd = sys(open, "group/made", O_CREAT | O_WRONLY, 02777);
	note_success("made", made(fd));
	if (!sys(stat, "group/made", &st))
		note("made:%o/%d", st.st_mode & 07777, st.st_gid);
	note_success("chr", sys(mknod, "chr", S_IFCHR | 0600, 0x103));
	note_success("blk", sys(mknod, "blk", S_IFBLK | 0600, 0x700));
	note_success("set_security", sys(setxattr, "f", "security.capability", "\1\0\0\2\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20, 0));
	note_success("chmod", sys(chmod, "f", 06755));
	note("=%s", mode_of("f"));
	note_success("fchmod", sys(fchmod, own_fd, 02750));
	note("=%s", mode_of("f"));
	note_success("write", sys(pwrite64, own_fd, "x", 1, 0));
	note("=%s", mode_of("f"));
	note_success("chmod_sticky", sys(chmod, "d", 03750));
	note("=%s", mode_of("d"));
	note_success("chgrp_own", sys(chown, "f", -1, sys(getegid)));
	note("=%s", mode_of("f"));
	note_success("chgrp_member", sys(chown, "f", -1, GROUP));
	note_success("chgrp_foreign", sys(chown, "f", -1, 4444));
	note("=%s", mode_of("f"));
	note_success("chown_keep", sys(chown, "shut", -1, -1));
	note_success("chown_same", sys(chown, "shut", OWNER, GROUP));
	note("=%s", mode_of("shut"));
	note_success("chown_self", sys(chown, "shut", sys(geteuid), -1));
	note_success("chown_away", sys(chown, "shut", 4444, -1));
	note("=%s", mode_of("shut"));
	note_success("fchown", sys(fchown, own_fd, OTHER, OTHER));
	note("=%s", mode_of("f"));
	note_success("allocate", sys(fallocate, own_fd, 0, 0, 20));
	note_success("ftruncate", sys(ftruncate, own_fd, 5));
	note("=%s", mode_of("f"));
}

static void processes(void)
{
	struct sched_param rt = {1}, zero = {0};
	struct rlimit low = {4, 4}, old = {0, 0};
	uint64_t cpus[16] = {0};
	siginfo_t info = {.si_signo = SIGURG, .si_code = SI_QUEUE}, forged = {.si_signo = SIGURG, .si_code = SI_USER};
	char path[64], b[64];
	long pidfd = must(sys(pidfd_open, target, 0)), got = 0;
	note_success("kill_0", sys(kill, target, 0));
	note_success("kill", sys(kill, target, SIGURG));
	note_success("cont", sys(kill, target, SIGCONT));
	note_success("group", sys(kill, -target, SIGURG));
	note_success("tkill", sys(tkill, target, SIGURG));
	note_success("tgkill", sys(tgkill, target, target, 0));
	note_success("queue", sys(rt_sigqueueinfo, target, SIGURG, &info));
	note_success("forged", sys(rt_sigqueueinfo, target, SIGURG, &forged));
	note_success("tgqueue", sys(rt_tgsigqueueinfo, target, target, SIGURG, &info));
	note_success("pidfd", sys(pidfd_send_signal, pidfd, 0, NULL, 0));
	note_success("getfd", made(sys(pidfd_getfd, pidfd, 0, 0)));
	note_success("getpriority", sys(getpriority, PRIO_PROCESS, target));
	note_success("nice_same", sys(setpriority, PRIO_PROCESS, target, 5));
	note_success("nice_up", sys(setpriority, PRIO_PROCESS, target, 6));
	note_success("nice_down", sys(setpriority, PRIO_PROCESS, target, 5));
	note_success("nice_group", sys(setpriority, PRIO_PGRP, target, 7));
	note_success("nice_user", sys(setpriority, PRIO_USER, OWNER, 8));
	note_success("nice_self", sys(setpriority, PRIO_PROCESS, 0, 3));
	note_success("nice_back", sys(setpriority, PRIO_PROCESS, 0, 0));
	note_success("getscheduler", sys(sched_getscheduler, target));
	note_success("getparam", sys(sched_getparam, target, &zero));
	note_success("batch", sys(sched_setscheduler, target, SCHED_BATCH, &zero));
	note_success("idle", sys(sched_setscheduler, target, SCHED_IDLE, &zero));
	note_success("other", sys(sched_setscheduler, target, SCHED_OTHER, &zero));
	note_success("fifo", sys(sched_setscheduler, target, SCHED_FIFO, &rt));
	note_success("reset", sys(sched_setscheduler, target, SCHED_OTHER | SCHED_RESET_ON_FORK, &zero));
	note_success("unreset", sys(sched_setscheduler, target, SCHED_OTHER, &zero));
	note_success("setparam", sys(sched_setparam, target, &zero));
	note_success("getaffinity", sys(sched_getaffinity, target, sizeof cpus, cpus));
	note_success("setaffinity", sys(sched_setaffinity, target, sizeof cpus, cpus));
	/* Not every container's root has CAP_SYS_RESOURCE. */
	if (!powerful)
		note_success("prlimit_get", sys(prlimit64, target, RLIMIT_MSGQUEUE, NULL, &old));
	if (!powerful)
		note_success("prlimit_low", sys(prlimit64, target, RLIMIT_CORE, &low, NULL));
	low.rlim_max = low.rlim_cur = 5;
	if (!powerful)
		note_success("prlimit_raise", sys(prlimit64, target, RLIMIT_CORE, &low, NULL));
	low.rlim_max = low.rlim_cur = 3;
	note_success("self_low", sys(prlimit64, 0, RLIMIT_CORE, &low, NULL));
	low.rlim_max = low.rlim_cur = 4;
	if (!powerful)
		note_success("self_raise", sys(prlimit64, 0, RLIMIT_CORE, &low, NULL));
	low.rlim_max = 2, low.rlim_cur = 3;
	note_success("self_crossed", sys(prlimit64, 0, RLIMIT_CORE, &low, NULL));
	note_success("robust", sys(get_robust_list, target, &got, &got));
	note_success("getpgid", sys(getpgid, target));
	note_success("getsid", sys(getsid, target));
	note_success("setpgid", sys(setpgid, target, 0));
	uint32_t header[2] = {0x20080522, (uint32_t)target}, sets[6];
	note_success("capget", sys(capget, header, sets));
	static const char *const entries[] = {"fd", "cwd", "exe", "root", "environ", "status", "stat", "fdinfo", "comm", "limits", "cmdline", "auxv", "task"};
	for (size_t i = 0; i < countof(entries); i++) {
		snprintf(path, sizeof path, "/proc/%ld/%s", target, entries[i]);
		long fd = i >= 1 && i <= 3 ? sys(readlink, path, b, sizeof b) : made(sys(open, path, O_RDONLY));
		note_success(entries[i], fd < 0 ? fd : 0);
	}
	snprintf(path, sizeof path, "/proc/%ld/comm", target);
	note_success("comm_write", made(sys(open, path, O_WRONLY)));
}

static void system_calls(void)
{
	gid_t group = 4444;
	int p[2];
	char b[16];
	make_pipe(p, 0);
	note_success("hostname", sys(sethostname, "bevor", 5));
	note_success("hostname_long", sys(sethostname, "bevor", 65));
	note_success("domainname", sys(setdomainname, "(none)", 6));
	note_success("setgroups", sys(setgroups, 1, &group));
	if (!powerful)
		note_success("pipe_size", sys(fcntl, p[0], F_SETPIPE_SZ, 1 << 21));
	note_success("pipe_size_small", sys(fcntl, p[0], F_SETPIPE_SZ, 4096));
	note_success("capbset", sys(prctl, PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0));
	note_success("securebits", sys(prctl, PR_SET_SECUREBITS, SECBIT_NOROOT, 0, 0, 0));
	note_success("keepcaps", sys(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0));
	note_success("setuid", sys(setuid, 4444));
	note_success("chroot_none", sys(chroot, "none"));
	note_success("mlock", sys(mlock, pages(1, false), 4096));
	note_success("fs", sys(ioctl, p[0], 0x5401, b));
	note_success("chroot", sys(chroot, "/"));
}

static const struct {
	const char *id, *call;
	void (*body)(void);
} parts[] = {{"files", "openat", files}, {"names", "rename", names}, {"attributes", "chmod", attributes}, {"processes", "kill", processes}, {"system", "fcntl", system_calls}};

static int tokens[2];

static int sleeper(void *unused)
{
	(void)unused;
	must(sys(setpgid, 0, 0));
	must(sys(setgroups, 0, NULL));
	must(sys(setresgid, GROUP, GROUP, GROUP));
	must(sys(setresuid, OWNER, OWNER, OWNER));
	must(sys(setpriority, PRIO_PROCESS, 0, 5));
	must(sys(prctl, PR_SET_DUMPABLE, 1, 0, 0, 0));
	must(sys(write, tokens[1], "x", 1));
	for (;;)
		sys(pause);
	return 0;
}

static int turn(void *part)
{
	const struct who *w = ((void **)part)[1];
	/* Set-id bits, devices and file capabilities are not for every file system: on the root. */
	if (((void **)part)[0] == (void *)attributes)
		must(sys(chdir, "/zz-rights"));
	fresh();
	own_fd = must(sys(open, "f", O_RDWR));
	read_fd = must(sys(open, "f", O_RDONLY));
	target = spawn(sleeper, NULL);
	char c;
	must(sys(read, tokens[0], &c, 1));
	become(w);
	powerful = w->cap == -1 && w->euid == 0;
	((void (*)(void))((void **)part)[0])();
	return 0;
}

#define ID(part, name) part "_" #name,
#define FILES(name, ...) ID("files", name)
#define NAMES(name, ...) ID("names", name)
#define ATTRIBUTES(name, ...) ID("attributes", name)
#define PROCESSES(name, ...) ID("processes", name)
#define SYSTEM(name, ...) ID("system", name)

PROBE("rights/calls", WHOS(FILES) WHOS(NAMES) WHOS(ATTRIBUTES) WHOS(PROCESSES) WHOS(SYSTEM))
{
	notes_start();
	make_pipe(tokens, 0);
	must(sys(chmod, ".", 0777));
	must(sys(umask, 0));
	must(sys(mkdir, "/zz-rights", 0777));
	struct rlimit core = {5, 5};
	must(sys(setrlimit, RLIMIT_CORE, &core));
	for (size_t p = 0; p < countof(parts); p++) {
		for (size_t w = 0; w < countof(whos); w++) {
			void *arg[2] = {(void *)parts[p].body, (void *)&whos[w]};
			if (reap(spawn(turn, arg)))
				broken("%s as %s failed", parts[p].id, whos[w].name);
			char id[64];
			snprintf(id, sizeof id, "%s_%s", parts[p].id, whos[w].name);
			observe_notes(id, parts[p].call);
		}
	}
}
