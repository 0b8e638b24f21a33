/*
 * The daemon of a FUSE file system that stops to answer.
 *
 * usage: fused DIRECTORY
 *
 * Mounts it there, and answers until somebody asks for what hangs: the data of the file `data`, or whatever is called
 * `silent`. It reads these requests, as a daemon does that waits for its server, and never answers them; all others
 * it answers.
 */
#include "guest.h"

#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/stat.h>

enum { ROOT = FUSE_ROOT_ID, DATA };

static int device;

static void answer(const struct fuse_in_header *to, int error, const void *body, size_t size)
{
	char reply[512];
	struct fuse_out_header *head = (void *)reply;

	head->len = sizeof(*head) + size;
	head->error = error;
	head->unique = to->unique;
	if (size)
		memcpy(head + 1, body, size);
	if (write(device, reply, head->len) != (ssize_t)head->len)
		die("an answer to request %u", to->opcode);
}

static struct fuse_attr attributes(unsigned long node)
{
	return (struct fuse_attr){
		.ino = node,
		.size = node == DATA ? 16 * PAGE : 0,
		.mode = node == DATA ? S_IFREG | 0644 : S_IFDIR | 0755,
		.nlink = 1,
		.blksize = PAGE,
	};
}

static void initialize(const struct fuse_in_header *request, const struct fuse_init_in *in)
{
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = 31,
		.max_readahead = in->max_readahead,
		.max_write = PAGE,
	};

	answer(request, 0, &out, sizeof(out));
}

static void look_up(const struct fuse_in_header *request, const char *name)
{
	struct fuse_entry_out out = { .nodeid = DATA, .entry_valid = 3600, .attr_valid = 3600 };

	if (!strcmp(name, "silent"))
		return;
	if (strcmp(name, "data")) {
		answer(request, -ENOENT, NULL, 0);
		return;
	}
	out.attr = attributes(DATA);
	answer(request, 0, &out, sizeof(out));
}

static void get_attributes(const struct fuse_in_header *request)
{
	struct fuse_attr_out out = { .attr_valid = 3600, .attr = attributes(request->nodeid) };

	answer(request, 0, &out, sizeof(out));
}

static void serve(const struct fuse_in_header *request)
{
	const void *body = request + 1;
	struct fuse_open_out opened = { .fh = 1 };

	switch (request->opcode) {
	case FUSE_INIT:
		initialize(request, body);
		break;
	case FUSE_LOOKUP:
		look_up(request, body);
		break;
	case FUSE_GETATTR:
		get_attributes(request);
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		answer(request, 0, &opened, sizeof(opened));
		break;
	case FUSE_READ:
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		answer(request, -ENOSYS, NULL, 0);
	}
}

int main(int argc, char **argv)
{
	static char request[1 << 20];
	char options[128];

	if (argc != 2)
		return 2;
	device = open("/dev/fuse", O_RDWR);
	if (device < 0)
		die("/dev/fuse");
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
	if (mount("lab:/export", argv[1], "fuse.lab", MS_NOSUID | MS_NODEV, options))
		die("%s", argv[1]);
	while (read(device, request, sizeof(request)) > 0)
		serve((void *)request);
	die("/dev/fuse");
}
