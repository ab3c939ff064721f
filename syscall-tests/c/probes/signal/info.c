/* What a signal says about its sender: the code of each call, pid and real user, and what a sender may make up. */
#include "probe.h"

static siginfo_t last;
static volatile int count;

static void handler(int signo, siginfo_t *info, void *context)
{
	(void)context;
	last = *info;
	last.si_errno = signo;
	count++;
}

static struct fields seen(void)
{
	static struct field f[5];
	f[0] = f_int("handler", last.si_errno);
	f[1] = f_int("signal", last.si_signo);
	f[2] = f_int("code", last.si_code);
	f[3] = f_bool("from_me", last.si_pid == sys(getpid));
	f[4] = f_uint("uid", last.si_uid);
	return (struct fields){f, 5};
}

/* The details of a queued signal: with another number, pid and uid than the real ones. */
static long queue(bool thread, int signal, int code, int number)
{
	siginfo_t info = {.si_signo = number, .si_code = code};
	info.si_pid = 1234;
	info.si_uid = 5678;
	info.si_value.sival_int = 42;
	long me = sys(getpid);
	return thread ? sys(rt_tgsigqueueinfo, me, sys(gettid), signal, &info) : sys(rt_sigqueueinfo, me, signal, &info);
}

static const int codes[] = {SI_QUEUE, SI_USER, SI_TKILL, SI_KERNEL, SI_TIMER, -77};

static void made_up(const char *id, const char *call, bool thread)
{
	struct value answers[countof(codes)];
	long r = 0;
	for (size_t i = 0; i < countof(codes); i++) {
		memset(&last, 0, sizeof last);
		r = queue(thread, SIGUSR1, codes[i], SIGUSR2);
		answers[i] = v_list(v_errno(err_of(r)), v_int(last.si_code), v_int(last.si_signo), v_uint(last.si_uid));
		/* v_list holds on to its items only here. */
		struct value *items = malloc(4 * sizeof *items);
		memcpy(items, answers[i].data, 4 * sizeof *items);
		answers[i].data = items;
	}
	observe(id, call, ret_int(r), ARGS(), STATE(f_value("answers", v_items_(V_LIST, answers, countof(codes)))));
}

static int to_parent(void *code)
{
	siginfo_t info = {.si_code = (int)(long)code};
	return err_of(sys(rt_sigqueueinfo, sys(getppid), SIGUSR2, &info));
}

PROBE("signal/info", "kill", "tkill", "tgkill", "other_user", "own_codes", "own_codes_thread", "foreign_codes", "no_signal", "number")
{
	on_signal(SIGUSR1, handler, 0, 0);
	on_signal(SIGUSR2, handler, 0, 0);
	long me = sys(getpid), r;
	r = sys(kill, me, SIGUSR1);
	observe("kill", "kill", ret_int(r), ARGS(), seen());
	r = sys(tkill, me, SIGUSR1);
	observe("tkill", "tkill", ret_int(r), ARGS(), seen());
	r = sys(tgkill, me, me, SIGUSR1);
	observe("tgkill", "tgkill", ret_int(r), ARGS(), seen());
	must(sys(setresuid, 1000, 2000, 0));
	r = sys(kill, me, SIGUSR1);
	observe("other_user", "kill", ret_int(r), ARGS(), seen());
	must(sys(setresuid, 1000, 0, 0));
	made_up("own_codes", "rt_sigqueueinfo", false);
	made_up("own_codes_thread", "rt_tgsigqueueinfo", true);
	struct value answers[countof(codes)];
	for (size_t i = 0; i < countof(codes); i++)
		answers[i] = v_errno(WEXITSTATUS(reap(spawn(to_parent, (void *)(long)codes[i]))));
	observe("foreign_codes", "rt_sigqueueinfo", ret_int(0), ARGS(), STATE(f_value("answers", v_items_(V_LIST, answers, countof(codes)))));
	int before = count;
	r = queue(false, 0, SI_QUEUE, SIGUSR1);
	observe("no_signal", "rt_sigqueueinfo", ret_int(r), ARGS(f_int("sig", 0)), STATE(f_int("handled", count - before)));
	r = queue(false, SIGUSR2, SI_QUEUE, SIGUSR1);
	observe("number", "rt_sigqueueinfo", ret_int(r), ARGS(f_int("sig", SIGUSR2)), seen());
}
