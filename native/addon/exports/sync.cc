// The exports for words and cells that processes share.
#include "sys/sync.h"

#include <errno.h>

#include <limits>

#include "addon/call.h"
#include "addon/exports/exports.h"
#include "sync/range_users.h"
#include "sync/robust_lock.h"
#include "sync/waiters.h"

namespace memmap::calls {

namespace {

// Longer would keep a thread that is being terminated.
constexpr uint64_t kLongest = 1'000'000'000;
constexpr size_t kWordSize = sizeof(uint32_t);
constexpr size_t kCellAlignment = 8;

// A word or a cell at args[0] + args[1], of this environment.
struct Place {
  Range bytes;
  Outcome outcome;
  bool safe = false;
  [[nodiscard]] const uint32_t* word() const {
    return reinterpret_cast<const uint32_t*>(bytes.begin);
  }
};
Place place_of(Args& args, size_t size, size_t alignment, tenants::Use use) {
  const uintptr_t base = args.address(0);
  const size_t offset = args.size(1);
  Place place;
  if (!args.ok()) return place;
  if (!make_range(base, offset, &place.bytes) || !make_range(place.bytes.end, size, &place.bytes) ||
      place.bytes.begin % alignment != 0) {
    place.outcome = {Refusal::kArgument, 1};
  } else {
    place.outcome = tenants::check(args.environment(), place.bytes, use, &place.safe);
  }
  return place;
}
Place word_of(Args& args) { return place_of(args, kWordSize, kWordSize, tenants::Use::kRead); }
Place cell_of(Args& args) {
  return place_of(args, cells::kSize, kCellAlignment, tenants::Use::kChange);
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

// sleep(base, offset, value, nanoseconds) -> 0 woken, 1 another value, 2 the time is up
napi_value sleep(Args& args) {
  const Place place = word_of(args);
  const uint32_t value = value_of(args, 2);
  const uint64_t limit = limit_of(args, 3);
  if (!args.ok()) return args.failure();
  if (!place.outcome.ok()) return to_failure(args.env(), place.outcome);
  return slept(args, sys::futex_wait(place.word(), value, limit));
}

// wake(base, offset, count) -> how many
napi_value wake(Args& args) {
  const Place place = word_of(args);
  const size_t count = args.size(2);
  if (!args.ok()) return args.failure();
  if (!place.outcome.ok()) return to_failure(args.env(), place.outcome);
  const auto woken = sys::futex_wake(place.word(), count);
  if (!woken.ok()) return to_failure(args.env(), Outcome(woken.status()));
  return args.number(static_cast<double>(woken.value));
}

// openMailbox(deliver) -> its number
napi_value open_mailbox(Args& args) {
  if (!args.value(0).IsFunction()) return to_failure(args.env(), {Refusal::kArgument, 0});
  Mailbox* mailbox = waiters::make(args.env(), args.value(0));
  if (mailbox == nullptr) {
    return to_failure(args.env(), Outcome(sys::Status{ENOMEM, "uv_async_init"}));
  }
  auto& own = args.environment().mailboxes;
  own.push_back(mailbox);
  return args.number(static_cast<double>(own.size() - 1));
}

Mailbox* mailbox_of(Args& args) {
  const double number = args.id(0);
  const auto& own = args.environment().mailboxes;
  if (args.ok() && number < static_cast<double>(own.size())) {
    return own[static_cast<size_t>(number)];
  }
  args.refuse(0);
  return nullptr;
}

// keepLoop(mailbox, alive)
napi_value keep_loop(Args& args) {
  Mailbox* mailbox = mailbox_of(args);
  const bool alive = args.boolean(1);
  if (!args.ok()) return args.failure();
  waiters::keep_loop(*mailbox, args.env(), alive);
  return nullptr;
}

// takeLetters(mailbox) -> pairs of an id and how its sleep ended
napi_value take_letters(Args& args) {
  Mailbox* mailbox = mailbox_of(args);
  if (!args.ok()) return args.failure();
  std::vector<double> row;
  for (const waiters::Letter& letter : waiters::take(*mailbox)) {
    row.push_back(letter.id);
    row.push_back(static_cast<double>(letter.ending));
  }
  return args.numbers(row);
}

// sleepLater(base, offset, value, mailbox, id) -> 1 another value; 2: asleep, and a letter will
// come
napi_value sleep_later(Args& args) {
  const Place place = word_of(args);
  const uint32_t value = value_of(args, 2);
  const double number = args.id(3);
  const double id = args.id(4);
  const auto& own = args.environment().mailboxes;
  if (args.ok() && number >= static_cast<double>(own.size())) args.refuse(3);
  if (!args.ok()) return args.failure();
  if (!place.outcome.ok()) return to_failure(args.env(), place.outcome);
  const sys::Status now = sys::futex_check(place.word(), value);
  if (!now.ok()) return slept(args, now);
  Mailbox& mailbox = *own[static_cast<size_t>(number)];
  const Outcome added = waiters::add(mailbox, id, place.word(), value);
  return added.ok() ? args.number(2) : to_failure(args.env(), added);
}

// cancelSleep(mailbox, id, passesOn) -> whether it had been woken
napi_value cancel_sleep(Args& args) {
  Mailbox* mailbox = mailbox_of(args);
  const double id = args.id(1);
  const bool passes_on = args.boolean(2);
  if (!args.ok()) return args.failure();
  return Napi::Boolean::New(args.env(), waiters::cancel(*mailbox, id, passes_on));
}

// takeCell(base, offset, crowded) -> cells::Taken
napi_value take_cell(Args& args) {
  const Place place = cell_of(args);
  const bool crowded = args.boolean(2);
  if (!args.ok()) return args.failure();
  if (!place.outcome.ok()) return to_failure(args.env(), place.outcome);
  const auto taken = cells::take(args.environment(), place.bytes.begin, {crowded, place.safe});
  if (!taken.ok()) return to_failure(args.env(), Outcome(taken.status()));
  return args.number(static_cast<double>(taken.value));
}

// leaveCell(base, offset, died) -> cells::Left
napi_value leave_cell(Args& args) {
  const Place place = cell_of(args);
  const bool died = args.boolean(2);
  if (!args.ok()) return args.failure();
  if (!place.outcome.ok()) return to_failure(args.env(), place.outcome);
  return args.number(static_cast<double>(cells::leave(place.bytes.begin, died)));
}

// sleepOnCell(base, offset, value, nanoseconds) -> as sleep()
napi_value sleep_on_cell(Args& args) {
  const Place place = cell_of(args);
  const uint32_t value = value_of(args, 2);
  const uint64_t limit = limit_of(args, 3);
  if (!args.ok()) return args.failure();
  if (!place.outcome.ok()) return to_failure(args.env(), place.outcome);
  return slept(args, cells::sleep(place.bytes.begin, value, limit));
}

}  // namespace

void add_sync_to(Napi::Object exports, Environment* own) {
  add<sleep>(exports, "sleep", own);
  add<wake>(exports, "wake", own);
  add<open_mailbox>(exports, "openMailbox", own);
  add<keep_loop>(exports, "keepLoop", own);
  add<take_letters>(exports, "takeLetters", own);
  add<sleep_later>(exports, "sleepLater", own);
  add<cancel_sleep>(exports, "cancelSleep", own);
  add<take_cell>(exports, "takeCell", own);
  add<leave_cell>(exports, "leaveCell", own);
  add<sleep_on_cell>(exports, "sleepOnCell", own);
}

}  // namespace memmap::calls
