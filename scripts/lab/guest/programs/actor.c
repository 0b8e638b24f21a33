/*
 * A task with a part to play: takes a name, goes to a CPU, and does what it is told.
 *
 * usage: actor NAME CPU [-f] WORD...
 *
 * CPU -1 is any. WORDs go to /dev/locks (see modules/locks); "loop" computes for ever
 * in user mode and "eat" takes memory for ever. With -f it is SCHED_FIFO.
 */
#include "guest.h"

#include <stdbool.h>

static void be_real_time(void)
{
	struct sched_param param = { .sched_priority = 50 };

	if (sched_setscheduler(0, SCHED_FIFO, &param))
		die("SCHED_FIFO");
}

static void loop(void)
{
	for (volatile unsigned long count = 0;; count++)
		;
}

static void eat(void)
{
	for (;;) {
		char *memory = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (memory != MAP_FAILED)
			memset(memory, 1, HUGE);
	}
}

static void tell_driver(char **words)
{
	char line[128] = "";
	int device = open("/dev/locks", O_WRONLY);

	if (device < 0)
		die("/dev/locks");
	for (; *words; words++) {
		strncat(line, *words, sizeof(line) - strlen(line) - 1);
		strncat(line, " ", sizeof(line) - strlen(line) - 1);
	}
	if (write(device, line, strlen(line)) < 0)
		die("/dev/locks does not know: %s", line);
}

int main(int argc, char **argv)
{
	char **words = argv + 3;

	if (argc < 4)
		return 2;
	set_name(argv[1]);
	if (atoi(argv[2]) >= 0)
		pin_to(atoi(argv[2]));
	if (!strcmp(*words, "-f")) {
		be_real_time();
		words++;
	}
	if (!*words)
		return 2;
	if (!strcmp(*words, "loop"))
		loop();
	if (!strcmp(*words, "eat"))
		eat();
	tell_driver(words);
	return 0;
}
