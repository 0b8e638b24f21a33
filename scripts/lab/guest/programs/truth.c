/*
 * Prints the truth of a scenario that is nothing but a set of running programs.
 *
 * usage: truth SCENARIO [KEY=VALUE ...] PID...
 *
 * KEY=VALUE adds a member; a VALUE that is not a number must be JSON already.
 */
#include "guest.h"

#include <stdbool.h>

static bool print_program(FILE *truth, const char *separator, const char *pid)
{
	char path[64], comm[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	file = fopen(path, "r");
	if (!file)
		return false; /* it has ended meanwhile */
	if (!fgets(comm, sizeof(comm), file))
		die("%s", path);
	fclose(file);
	comm[strcspn(comm, "\n")] = 0;
	fprintf(truth, "%s{\"pid\": %s, \"comm\": \"%s\"}", separator, pid, comm);
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
