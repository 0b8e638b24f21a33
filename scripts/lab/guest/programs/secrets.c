/*
 * Leaves a mark in every kind of memory where secrets lie, and sleeps for ever. A dump
 * that was reduced to be given away must hold none of them (tests/lab/secrets.rs).
 *
 * usage: secrets
 */
#include "guest.h"

#include <sys/msg.h>
#include <sys/socket.h>

/* "LABSECRET-vector" is as long as a vector register. */
#define MARK 16
#define NEIGHBOURS 64

/* Put together when it is needed: the program's own file has no whole mark. */
static void mark(char *where, const char *kind)
{
	char text[MARK + 1];

	snprintf(text, sizeof(text), "LABSECRET-%-6s", kind);
	memcpy(where, text, MARK);
}

static void in_a_file(void)
{
	char text[MARK];
	int fd = open("/tmp/secrets", O_RDWR | O_CREAT, 0600);

	mark(text, "file");
	for (int i = 0; i < 512; i++)
		if (write(fd, text, MARK) != MARK)
			die("write");
}

static void in_a_name(void)
{
	char path[] = "/tmp/0123456789abcdef";

	mark(path + 5, "name");
	if (open(path, O_RDWR | O_CREAT, 0600) < 0)
		die("open");
}

static void in_a_key(void)
{
	char text[MARK];

	mark(text, "key");
	if (syscall(SYS_add_key, "user", "lab", text, MARK, -4) < 0)
		die("add_key");
}

/* Of every size that the kernel's allocator has, so that some lie beside what is read. */
static void in_messages(void)
{
	struct {
		long type;
		char text[4096];
	} message = { .type = 1 };
	int queue = msgget(IPC_PRIVATE, 0600);

	for (int i = 0; i < (int)sizeof(message.text); i += MARK)
		mark(message.text + i, "slab");
	for (int size = MARK; size <= 2048; size *= 2)
		for (int i = 0; i < NEIGHBOURS; i++)
			if (msgsnd(queue, &message, size, IPC_NOWAIT) && errno != EAGAIN)
				die("msgsnd");
}

static void in_a_packet(void)
{
	int ends[2];
	char text[MARK];

	mark(text, "packet");
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends))
		die("socketpair");
	for (int i = 0; i < 8; i++)
		if (send(ends[1], text, MARK, MSG_DONTWAIT) != MARK)
			die("send");
}

static void in_a_pipe(void)
{
	int ends[2];
	char text[MARK];

	mark(text, "pipe");
	if (pipe(ends) || write(ends[1], text, MARK) != MARK)
		die("pipe");
}

/* Waits with a mark in each register that the kernel saves and does not use. */
static void *in_registers(void *unused)
{
	char text[2 * MARK];

	(void)unused;
	set_name("registers");
	mark(text, "vector");
	mark(text + MARK, "regist");
#ifdef __aarch64__
	asm volatile("ld1 {v0.16b}, [%0]\n\t"
		     "mov v7.16b, v0.16b\n\t"
		     "mov v15.16b, v0.16b\n\t"
		     "ldr x19, [%0, #16]\n\t"
		     "mov x9, x19\n\t"
		     "mov x18, x19\n\t"
		     "mov x28, x19\n\t"
		     "1: mov x0, #0\n\t"
		     "mov x1, #0\n\t"
		     "mov x2, #0\n\t"
		     "mov x3, #0\n\t"
		     "mov x4, #8\n\t"
		     "mov x8, %1\n\t"
		     "svc #0\n\t"
		     "b 1b"
		     :
		     : "r"(text), "i"(SYS_ppoll)
		     : "x0", "x1", "x2", "x3", "x4", "x8", "x9", "x18", "x19", "x28", "v0", "v7", "v15", "memory");
#else
	asm volatile("movdqu (%0), %%xmm0\n\t"
		     "movdqa %%xmm0, %%xmm7\n\t"
		     "movdqa %%xmm0, %%xmm15\n\t"
		     "mov 16(%0), %%rbx\n\t"
		     "mov %%rbx, %%r8\n\t"
		     "mov %%rbx, %%r12\n\t"
		     "mov %%rbx, %%r15\n\t"
		     "1: mov %1, %%eax\n\t"
		     "syscall\n\t"
		     "jmp 1b"
		     :
		     : "r"(text), "i"(SYS_pause)
		     : "rax", "rbx", "rcx", "r8", "r11", "r12", "r15", "xmm0", "xmm7", "xmm15", "memory");
#endif
	return NULL;
}

int main(int argc, char **argv)
{
	char environment[] = "SECRET=0123456789abcdef";

	(void)argc;
	if (!getenv("SECRET")) {
		char *const arguments[] = { argv[0], NULL };
		char *const variables[] = { environment, NULL };

		mark(environment + 7, "enviro");
		execve("/proc/self/exe", arguments, variables);
		die("execve");
	}
	in_a_file();
	in_a_name();
	in_a_key();
	in_messages();
	in_a_packet();
	in_a_pipe();
	start_thread(in_registers, NULL);
	pause();
	return 0;
}
