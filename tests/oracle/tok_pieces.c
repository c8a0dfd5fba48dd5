/* tok_pieces PRE: the ends of the pieces of each text of standard input (NUL behind each), a line a text. For tok-oracle.py. */
#include "config.h"
#include "os/os.h"
#include "tok/pretok_impl.h"

int main(int argc, char **argv)
{
	struct pre_iter it;
	struct pre pre;
	struct buf in;
	struct err e;
	unsigned flags;
	uint32_t end;

	buf_init(&in, BUF_MAX_TEXT);
	if (argc != 2 || !pre_by_name(&pre, &flags, str_of(argv[1])) || os_read_file(&in, "/dev/stdin", BUF_MAX_TEXT, &e))
		return 2;
	for (size_t i = 0, j; i < in.n; i = j + 1) {
		j = str_find(buf_str(&in), (struct str){ "", 1 }, i);
		pre_begin(&it, &pre, str_sub(buf_str(&in), i, j));
		while (pre_ends(&end, 1, &it))
			printf("%u ", end);
		putchar('\n');
	}
	buf_release(&in);
	return 0;
}
