// SPDX-License-Identifier: GPL-2.0
/*
 * Locks that whoever writes to /dev/locks takes, and ways to hold them for ever. A
 * write is a list of words, done in their order by the writer itself:
 *
 *   interruptible killable
 *                        sleep so for mutexes from here on
 *   mutex-a mutex-b      lock that mutex
 *   read write           take the reader-writer semaphore
 *   page                 lock the page
 *   spinlock             take the spin lock, and never come back
 *   rwlock-read rwlock-write
 *                        take the spinning reader-writer lock, and never come back
 *   no-preempt no-irqs   switch preemption, or interrupts, off
 *   grace-period         wait until RCU has passed one
 *   call                 have all other CPUs run a function, and wait for them
 *   flush                have a worker do the work, which takes mutex-a, and wait for it
 *   pause                sleep a second
 *   sleep                sleep and never be woken
 *   spin                 never come back
 *   null                 read through a NULL pointer
 *   bug                  BUG()
 *
 * Reading /dev/locks gives the addresses of locks, page and work, and the pid of the
 * worker that has begun with the work, one a line. A device and no module
 * parameter: those are set under a mutex of their own.
 */
#define pr_fmt(fmt) "locks: " fmt

#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

static DEFINE_MUTEX(mutex_a);
static DEFINE_MUTEX(mutex_b);
static DECLARE_RWSEM(semaphore);
static DEFINE_SPINLOCK(spinlock);
static DEFINE_RWLOCK(rwlock);
/* Through pointers, or the compiler makes functions of their own for the one lock. */
static spinlock_t *lock_to_hold = &spinlock;
static rwlock_t *rwlock_to_hold = &rwlock;
static struct page *page;
static bool release_cpu;

struct thing {
	long unused[3];
	long value;
};

static struct thing *no_thing;

/* Functions of their own, so that a stack shows which. */
static noinline void spin_for_ever(void)
{
	while (!READ_ONCE(release_cpu))
		cpu_relax();
}

static noinline void sleep_for_ever(void)
{
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		schedule();
	}
}

/* The lock's address stays in a register while it is held, as in most real code. */
static noinline void spin_holding(spinlock_t *lock)
{
	spin_lock(lock);
	spin_for_ever();
	spin_unlock(lock);
}

static noinline void spin_reading(rwlock_t *lock)
{
	read_lock(lock);
	spin_for_ever();
	read_unlock(lock);
}

static noinline void spin_writing(rwlock_t *lock)
{
	write_lock(lock);
	spin_for_ever();
	write_unlock(lock);
}

static noinline long read_value(struct thing *thing)
{
	return READ_ONCE(thing->value);
}

static void answer(void *unused)
{
}

/* Who does the work. */
static pid_t worker;

static void work_with_mutex(struct work_struct *unused)
{
	worker = task_pid_nr(current);
	mutex_lock(&mutex_a);
	mutex_unlock(&mutex_a);
}

static DECLARE_WORK(work, work_with_mutex);

static noinline void flush(void)
{
	schedule_work(&work);
	flush_work(&work);
}

/* How a writer sleeps for a mutex. */
typedef int (*lock_fn)(struct mutex *mutex);

static int lock(struct mutex *mutex)
{
	mutex_lock(mutex);
	return 0;
}

static int lock_interruptible(struct mutex *mutex)
{
	return mutex_lock_interruptible(mutex);
}

static int lock_killable(struct mutex *mutex)
{
	return mutex_lock_killable(mutex);
}

static int do_word(const char *word, lock_fn *lock_mutex)
{
	if (!strcmp(word, "interruptible"))
		*lock_mutex = lock_interruptible;
	else if (!strcmp(word, "killable"))
		*lock_mutex = lock_killable;
	else if (!strcmp(word, "mutex-a"))
		return (*lock_mutex)(&mutex_a);
	else if (!strcmp(word, "mutex-b"))
		return (*lock_mutex)(&mutex_b);
	else if (!strcmp(word, "read"))
		down_read(&semaphore);
	else if (!strcmp(word, "write"))
		down_write(&semaphore);
	else if (!strcmp(word, "page"))
		lock_page(page);
	else if (!strcmp(word, "spinlock"))
		spin_holding(READ_ONCE(lock_to_hold));
	else if (!strcmp(word, "rwlock-read"))
		spin_reading(READ_ONCE(rwlock_to_hold));
	else if (!strcmp(word, "rwlock-write"))
		spin_writing(READ_ONCE(rwlock_to_hold));
	else if (!strcmp(word, "no-preempt"))
		preempt_disable();
	else if (!strcmp(word, "no-irqs"))
		local_irq_disable();
	else if (!strcmp(word, "grace-period"))
		synchronize_rcu();
	else if (!strcmp(word, "call"))
		smp_call_function(answer, NULL, 1);
	else if (!strcmp(word, "flush"))
		flush();
	else if (!strcmp(word, "pause"))
		msleep(1000);
	else if (!strcmp(word, "sleep"))
		sleep_for_ever();
	else if (!strcmp(word, "spin"))
		spin_for_ever();
	else if (!strcmp(word, "null"))
		pr_info("%ld\n", read_value(READ_ONCE(no_thing)));
	else if (!strcmp(word, "bug"))
		BUG();
	else
		return -EINVAL;
	return 0;
}

static ssize_t locks_write(struct file *file, const char __user *from, size_t size, loff_t *at)
{
	char text[128];
	lock_fn lock_mutex = lock;
	char *rest = text;
	char *word;
	int error;

	if (size >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, from, size))
		return -EFAULT;
	text[size] = 0;
	while ((word = strsep(&rest, " \n"))) {
		error = *word ? do_word(word, &lock_mutex) : 0;
		if (error)
			return error;
	}
	return size;
}

static ssize_t locks_read(struct file *file, char __user *to, size_t size, loff_t *at)
{
	char text[256];
	int length;

	length = scnprintf(text, sizeof(text),
			   "mutex_a=0x%px\nmutex_b=0x%px\nsemaphore=0x%px\nspinlock=0x%px\nrwlock=0x%px\npage=0x%px\n"
			   "work=0x%px\nworker=%d\n",
			   &mutex_a, &mutex_b, &semaphore, &spinlock, &rwlock, page, &work, READ_ONCE(worker));
	return simple_read_from_buffer(to, size, at, text, length);
}

static const struct file_operations locks_operations = {
	.owner = THIS_MODULE,
	.read = locks_read,
	.write = locks_write,
};

static struct miscdevice locks_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "locks",
	.fops = &locks_operations,
};

static int __init locks_init(void)
{
	int error;

	page = alloc_page(GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	error = misc_register(&locks_device);
	if (error)
		__free_page(page);
	return error;
}

static void __exit locks_exit(void)
{
	misc_deregister(&locks_device);
	__free_page(page);
}

module_init(locks_init);
module_exit(locks_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Takes locks as it is told and keeps them");
