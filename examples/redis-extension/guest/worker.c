/* A worker: takes jobs from a list, keeps their results, and listens to what others say. */

#define REDIS(name) __attribute__((import_module("redis"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

REDIS("get") int redis_get(const char *key, unsigned key_size, char *out, unsigned room);
REDIS("set") int redis_set(const char *key, unsigned key_size, const char *value, unsigned size);
REDIS("blpop") int redis_blpop(const char *key, unsigned key_size, char *out, unsigned room, int ms);
REDIS("xread") int redis_xread(const char *stream, unsigned size, const char *after, unsigned after_size, char *entry,
                               unsigned entry_room, char *out, unsigned room, int ms);
REDIS("publish") int redis_publish(const char *channel, unsigned channel_size, const char *text, unsigned size);
REDIS("subscribe") int redis_subscribe(const char *channel, unsigned size);
REDIS("listen") int redis_listen(int subscription, char *out, unsigned room, int (*heard)(int));
REDIS("unsubscribe") int redis_unsubscribe(int subscription);

static char buffer[256];
static char entry[32] = "0";
static int total;

/* Takes jobs, numbers in decimal, until an empty one comes, and keeps their sum under the key `sum`. How many there
   were; or minus the error. */
EXPORT("work") int work(int ms) {
  int jobs = 0, sum = 0;
  for (;;) {
    int n = redis_blpop("jobs", 4, buffer, sizeof buffer, ms);
    if (n < 0) return n;
    if (n == 0) break;
    int value = 0;
    for (int i = 0; i < n; i++) value = value * 10 + (buffer[i] - '0');
    sum += value;
    jobs++;
  }
  char text[12];
  int at = sizeof text;
  do text[--at] = '0' + sum % 10; while (sum /= 10);
  int error = redis_set("sum", 3, text + at, sizeof text - at);
  return error < 0 ? error : jobs;
}

/* Reads `count` entries of the stream `events`, and gives the bytes that they had. */
EXPORT("read_events") int read_events(int count) {
  int bytes = 0;
  while (count--) {
    unsigned length = 0;
    while (entry[length]) length++;
    int n = redis_xread("events", 6, entry, length, entry, sizeof entry, buffer, sizeof buffer, -1);
    if (n < 0) return n;
    bytes += n;
  }
  return bytes;
}

/* Answers each message by one on another channel, from inside the callback; ends with the message "x". */
static int heard(int n) {
  total += n;
  redis_publish("answers", 7, buffer, n);
  return !(n == 1 && buffer[0] == 'x');
}

EXPORT("attend") int attend(void) {
  int subscription = redis_subscribe("news", 4);
  if (subscription < 0) return subscription;
  int count = redis_listen(subscription, buffer, sizeof buffer, heard);
  redis_unsubscribe(subscription);
  return count < 0 ? count : count * 1000 + total;
}
