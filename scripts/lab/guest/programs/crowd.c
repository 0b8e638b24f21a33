/*
 * A crowd of ordinary processes, so that a dump holds stacks of many kinds: sleepers
 * in different system calls, a process in uninterruptible sleep, and, with --busy,
 * ones that fork, write, talk through pipes and compute.
 *
 * usage: crowd [--busy]
 */
#include "guest.h"

#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

static void start_process(const char *name, void (*run)(void))
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid)
		return;
	set_name(name);
	run();
	exit(0);
}

static void in_nanosleep(void)
{
	sleep(100000);
}

static void in_poll(void)
{
	int ends[2];
	struct pollfd wanted = { .events = POLLIN };

	if (pipe(ends))
		die("pipe");
	wanted.fd = ends[0];
	poll(&wanted, 1, -1);
}

static void in_epoll(void)
{
	struct epoll_event event;

	epoll_wait(epoll_create1(0), &event, 1, -1);
}

static void in_futex(void)
{
	int word = 0;

	syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static void in_socket_read(void)
{
	int ends[2];
	char byte;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) || read(ends[0], &byte, 1) < 0)
		die("socketpair");
}

static void in_pause(void)
{
	pause();
}

/* A parent waits for its vfork()ed child without taking signals: state D. */
static void in_vfork(void)
{
	if (!vfork()) {
		syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
		_exit(0);
	}
}

static void *thread_in_pause(void *argument)
{
	(void)argument;
	set_name("idle-thread");
	pause();
	return NULL;
}

static void many_threads(void)
{
	for (int i = 0; i < 6; i++)
		start_thread(thread_in_pause, NULL);
	pause();
}

static void fork_and_exec(void)
{
	for (;;) {
		pid_t pid = fork();

		if (!pid) {
			execl("/bin/busybox", "true", NULL);
			_exit(1);
		}
		waitpid(pid, NULL, 0);
	}
}

static void write_and_read(void)
{
	static char block[65536];

	for (;;) {
		int fd = open("/tmp/crowd", O_RDWR | O_CREAT | O_TRUNC, 0600);

		for (int i = 0; i < 16; i++)
			if (write(fd, block, sizeof(block)) < 0)
				die("write");
		lseek(fd, 0, SEEK_SET);
		while (read(fd, block, sizeof(block)) > 0)
			;
		close(fd);
	}
}

static void read_proc(void)
{
	static char text[65536];

	for (;;) {
		int fd = open("/proc/meminfo", O_RDONLY);

		while (read(fd, text, sizeof(text)) > 0)
			;
		close(fd);
		fd = open("/proc/self/smaps", O_RDONLY);
		while (read(fd, text, sizeof(text)) > 0)
			;
		close(fd);
	}
}

static void ping_pong(void)
{
	int there[2], back[2];
	char byte = 0;

	if (pipe(there) || pipe(back))
		die("pipe");
	if (!fork()) {
		set_name("pong");
		while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1)
			;
		exit(0);
	}
	while (write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1)
		;
}

static void map_and_fault(void)
{
	for (;;) {
		char *area = mmap(NULL, 4 * HUGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		for (unsigned long offset = 0; offset < 4 * HUGE; offset += PAGE)
			area[offset] = 1;
		munmap(area, 4 * HUGE);
	}
}

static void compute(void)
{
	for (volatile unsigned long i = 0;; i++)
		;
}

int main(int argc, char **argv)
{
	start_process("nanosleep", in_nanosleep);
	start_process("poll", in_poll);
	start_process("epoll", in_epoll);
	start_process("futex", in_futex);
	start_process("socket", in_socket_read);
	start_process("pause", in_pause);
	start_process("vfork", in_vfork);
	start_process("threads", many_threads);
	if (argc > 1 && !strcmp(argv[1], "--busy")) {
		start_process("forker", fork_and_exec);
		start_process("writer", write_and_read);
		start_process("proc-reader", read_proc);
		start_process("ping", ping_pong);
		start_process("faulter", map_and_fault);
		start_process("compute", compute);
	}
	return 0;
}
