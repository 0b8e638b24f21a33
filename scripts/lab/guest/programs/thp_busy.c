/*
 * Splits and faults huge pages as hard as it can, but gets ahead: what an analyzer
 * must not take for the livelock. Every CPU has a thread that splits its huge pages
 * by freeing parts of them, and one that stats files into the same pages.
 */
#include "guest.h"

#define MAX_CPUS 64

struct pair {
	int cpu;
	char *huge;
};

static struct pair pairs[MAX_CPUS];

static void *split_for_ever(void *argument)
{
	struct pair *pair = argument;
	char name[16];

	snprintf(name, sizeof(name), "split/%d", pair->cpu);
	set_name(name);
	for (;;) {
		/* Giving all of it back lets the next touch get a huge page again. */
		madvise(pair->huge, HUGE, MADV_DONTNEED);
		for (unsigned long offset = 0; offset < HUGE; offset += PAGE)
			pair->huge[offset] = 1;
		madvise(pair->huge + HUGE / 2, 4 * PAGE, MADV_FREE);
		mprotect(pair->huge + HUGE / 4, PAGE, PROT_READ);
		mprotect(pair->huge + HUGE / 4, PAGE, PROT_READ | PROT_WRITE);
	}
	return NULL;
}

static void *stat_for_ever(void *argument)
{
	struct pair *pair = argument;
	char name[16];
	int fd = open("/proc/self/exe", O_RDONLY);

	snprintf(name, sizeof(name), "stat/%d", pair->cpu);
	set_name(name);
	for (unsigned long page = 0;; page = (page + 37) % 512)
		syscall(SYS_fstat, fd, pair->huge + page * PAGE + 0x40);
	return NULL;
}

int main(void)
{
	int cpus = sysconf(_SC_NPROCESSORS_ONLN);

	set_name("thp-busy");
	for (int i = 0; i < cpus && i < MAX_CPUS; i++) {
		pairs[i].cpu = i;
		pairs[i].huge = map_huge_range();
		start_thread(split_for_ever, &pairs[i]);
		start_thread(stat_for_ever, &pairs[i]);
	}
	pause();
}
