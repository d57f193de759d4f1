// The exports for words and locks that processes share.
#include "sys/sync.h"

#include <errno.h>

#include <limits>

#include "addon/call.h"
#include "addon/exports/exports.h"
#include "sync/range_users.h"
#include "sync/robust_lock.h"
#include "sync/waiters.h"

namespace memmap::exports {

namespace {

// Longer would keep a thread that is being terminated.
constexpr uint64_t kLongest = 1'000'000'000;
constexpr size_t kWordSize = sizeof(uint32_t);
constexpr size_t kLockAlignment = 8;

// A word or a lock at args[0] + args[1], of this environment.
struct Place {
  Range bytes;
  Outcome outcome;
  bool cannot_fault = false;
  [[nodiscard]] const uint32_t* word() const {
    return reinterpret_cast<const uint32_t*>(bytes.begin);
  }
};
Place place_of(Args& args, size_t size, size_t alignment, range_users::Use use) {
  const uintptr_t base = args.address(0);
  const size_t offset = args.size(1);
  Place place;
  if (!args.ok()) return place;
  if (!make_range(base, offset, &place.bytes) || !make_range(place.bytes.end, size, &place.bytes) ||
      place.bytes.begin % alignment != 0) {
    place.outcome = {Refusal::kArgument, 1};
  } else {
    place.outcome = range_users::check(args.environment(), place.bytes, use, &place.cannot_fault);
  }
  return place;
}
Place word_of(Args& args) { return place_of(args, kWordSize, kWordSize, range_users::Use::kRead); }
Place lock_of(Args& args) {
  return place_of(args, robust_lock::kSize, kLockAlignment, range_users::Use::kChange);
}

uint32_t value_of(Args& args, size_t index) {
  const double value = args.id(index);
  if (value <= std::numeric_limits<uint32_t>::max()) return static_cast<uint32_t>(value);
  args.refuse(index);
  return 0;
}

uint64_t limit_of(Args& args, size_t index) {
  const auto limit = static_cast<uint64_t>(args.id(index));
  if (limit > kLongest) args.refuse(index);
  return limit;
}

// What sleep() answers: woken (or for no reason), another value, the time is up.
napi_value slept(Args& args, sys::Status status) {
  switch (status.error) {
    case 0:
      return args.number(0);
    case EAGAIN:
      return args.number(1);
    case ETIMEDOUT:
      return args.number(2);
    default:
      return to_failure(args.env(), Outcome(status));
  }
}

// futexWait(base, offset, value, nanoseconds) -> 0 woken, 1 another value, 2 the time is up
napi_value sleep(Args& args) {
  const Place place = word_of(args);
  const uint32_t value = value_of(args, 2);
  const uint64_t limit = limit_of(args, 3);
  if (!args.ok()) return args.failure();
  if (!place.outcome.ok()) return to_failure(args.env(), place.outcome);
  return slept(args, sys::futex_wait(place.word(), value, limit));
}

// futexWake(base, offset, count) -> how many
napi_value wake(Args& args) {
  const Place place = word_of(args);
  const size_t count = args.size(2);
  if (!args.ok()) return args.failure();
  if (!place.outcome.ok()) return to_failure(args.env(), place.outcome);
  const auto woken = sys::futex_wake(place.word(), count);
  if (!woken.ok()) return to_failure(args.env(), Outcome(woken.status()));
  return args.number(static_cast<double>(woken.value));
}

// createCompletionQueue(deliver) -> its number
napi_value create_completion_queue(Args& args) {
  if (!args.value(0).IsFunction()) return to_failure(args.env(), {Refusal::kArgument, 0});
  CompletionQueue* queue = waiters::make(args.env(), args.value(0));
  if (queue == nullptr) {
    return to_failure(args.env(), Outcome(sys::Status{ENOMEM, "uv_async_init"}));
  }
  auto& own = args.environment().completion_queues;
  own.push_back(queue);
  return args.number(static_cast<double>(own.size() - 1));
}

CompletionQueue* queue_of(Args& args) {
  const double number = args.id(0);
  const auto& own = args.environment().completion_queues;
  if (args.ok() && number < static_cast<double>(own.size())) {
    return own[static_cast<size_t>(number)];
  }
  args.refuse(0);
  return nullptr;
}

// refCompletionQueue(completion queue, alive)
napi_value keep_loop(Args& args) {
  CompletionQueue* queue = queue_of(args);
  const bool alive = args.boolean(1);
  if (!args.ok()) return args.failure();
  waiters::keep_loop(*queue, args.env(), alive);
  return nullptr;
}

// takeCompletions(completion queue) -> pairs of an id and how its sleep ended
napi_value take_completions(Args& args) {
  CompletionQueue* queue = queue_of(args);
  if (!args.ok()) return args.failure();
  std::vector<double> row;
  for (const waiters::Completion& completion : waiters::take(*queue)) {
    row.push_back(completion.id);
    row.push_back(static_cast<double>(completion.ending));
  }
  return args.numbers(row);
}

// waitAsync(base, offset, value, completion queue, id) -> 1 another value; 2: asleep, and a
// completion will come
napi_value wait_async(Args& args) {
  const Place place = word_of(args);
  const uint32_t value = value_of(args, 2);
  const double number = args.id(3);
  const double id = args.id(4);
  const auto& own = args.environment().completion_queues;
  if (args.ok() && number >= static_cast<double>(own.size())) args.refuse(3);
  if (!args.ok()) return args.failure();
  if (!place.outcome.ok()) return to_failure(args.env(), place.outcome);
  const sys::Status now = sys::futex_check(place.word(), value);
  if (!now.ok()) return slept(args, now);
  CompletionQueue& queue = *own[static_cast<size_t>(number)];
  const Outcome added = waiters::add(queue, id, place.word(), value);
  return added.ok() ? args.number(2) : to_failure(args.env(), added);
}

// cancelWait(completion queue, id, passesOn) -> whether it had been woken
napi_value cancel_wait(Args& args) {
  CompletionQueue* queue = queue_of(args);
  const double id = args.id(1);
  const bool forward = args.boolean(2);
  if (!args.ok()) return args.failure();
  return Napi::Boolean::New(args.env(), waiters::cancel(*queue, id, forward));
}

// tryLockRobust(base, offset, crowded) -> locks::Taken
napi_value try_lock_robust(Args& args) {
  const Place place = lock_of(args);
  const bool contended = args.boolean(2);
  if (!args.ok()) return args.failure();
  if (!place.outcome.ok()) return to_failure(args.env(), place.outcome);
  const auto taken =
      robust_lock::try_lock(args.environment(), place.bytes.begin, {contended, place.cannot_fault});
  if (!taken.ok()) return to_failure(args.env(), Outcome(taken.status()));
  return args.number(static_cast<double>(taken.value));
}

// unlockRobust(base, offset, died) -> locks::Left
napi_value unlock_robust(Args& args) {
  const Place place = lock_of(args);
  const bool died = args.boolean(2);
  if (!args.ok()) return args.failure();
  if (!place.outcome.ok()) return to_failure(args.env(), place.outcome);
  return args.number(static_cast<double>(robust_lock::unlock(place.bytes.begin, died)));
}

// waitRobust(base, offset, value, nanoseconds) -> as sleep()
napi_value wait_robust(Args& args) {
  const Place place = lock_of(args);
  const uint32_t value = value_of(args, 2);
  const uint64_t limit = limit_of(args, 3);
  if (!args.ok()) return args.failure();
  if (!place.outcome.ok()) return to_failure(args.env(), place.outcome);
  return slept(args, robust_lock::sleep(place.bytes.begin, value, limit));
}

}  // namespace

void add_sync_to(Napi::Object exports, Environment* own) {
  add<sleep>(exports, "futexWait", own);
  add<wake>(exports, "futexWake", own);
  add<create_completion_queue>(exports, "createCompletionQueue", own);
  add<keep_loop>(exports, "refCompletionQueue", own);
  add<take_completions>(exports, "takeCompletions", own);
  add<wait_async>(exports, "waitAsync", own);
  add<cancel_wait>(exports, "cancelWait", own);
  add<try_lock_robust>(exports, "tryLockRobust", own);
  add<unlock_robust>(exports, "unlockRobust", own);
  add<wait_robust>(exports, "waitRobust", own);
}

}  // namespace memmap::exports
