/*
 * Prints the truth of a scenario that is nothing but a set of running programs.
 *
 * usage: truth SCENARIO [KEY=VALUE ...] PID...
 *
 * KEY=VALUE adds a member; a VALUE that is not a number must be JSON already.
 */
#include "guest.h"

#include <stdbool.h>

struct comm {
	char text[32];
};

static bool read_comm(const char *pid, struct comm *comm)
{
	char path[64];
	FILE *file;

	*comm->text = 0;
	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	file = fopen(path, "r");
	if (!file)
		return false; /* it has ended meanwhile */
	if (!fgets(comm->text, sizeof(comm->text), file))
		die("%s", path);
	fclose(file);
	comm->text[strcspn(comm->text, "\n")] = 0;
	return true;
}

/*
 * A program that was started a moment ago has the name of the shell, and an actor then that of its file, before it
 * has its own.
 */
static bool is_starting(const char *pid, const struct comm *comm)
{
	char shell[16];
	struct comm of_shell;

	snprintf(shell, sizeof(shell), "%d", getppid());
	if (!strcmp(pid, shell))
		return false;
	read_comm(shell, &of_shell);
	return !strcmp(comm->text, "actor") || !strcmp(comm->text, of_shell.text);
}

static bool print_program(FILE *truth, const char *separator, const char *pid)
{
	struct comm comm;

	for (int tries = 100; read_comm(pid, &comm) && is_starting(pid, &comm); tries--) {
		if (!tries)
			die("%s does not get beyond its start: %s", pid, comm.text);
		usleep(100000);
	}
	if (!*comm.text)
		return false;
	fprintf(truth, "%s{\"pid\": %s, \"comm\": \"%s\"}", separator, pid, comm.text);
	return true;
}

int main(int argc, char **argv)
{
	FILE *truth;
	int argument = 2;
	const char *separator = "";

	if (argc < 2)
		return 2;
	truth = begin_truth(argv[1]);
	for (; argument < argc && strchr(argv[argument], '='); argument++) {
		char *value = strchr(argv[argument], '=');

		fprintf(truth, ", \"%.*s\": %s", (int)(value - argv[argument]), argv[argument], value + 1);
	}
	fprintf(truth, ", \"programs\": [");
	for (; argument < argc; argument++)
		if (print_program(truth, separator, argv[argument]))
			separator = ", ";
	fprintf(truth, "]");
	end_truth(truth);
	return 0;
}
