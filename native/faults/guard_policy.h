// Which claims are guarded now, and what is refused while one of their pages is damaged. Every
// function needs the lock of Claims.
#pragma once

#include "addon/environment.h"
#include "addon/js_result.h"
#include "claims/claims.h"

namespace memmap::guarding {

// Gives the claim a watch, if it is guarded, has been viewed, and can fault at all.
void watch(Claim& claim, Environment& own);
// Before its pages become read-only: the same for every claim in the range.
void watch_all(Claims& claims, Environment& own, Range pages);

// True when some page of the range is watched.
[[nodiscard]] bool any_watch(Claims& claims, Range pages);

// A view over these bytes is about to be made: their claim is viewed from here on, and watched if
// it is guarded. Not over pages that cannot be read, but for those that their file has lost.
Outcome open_view(Claims& claims, Environment& own, Range bytes);
// The same where they lie in a reserve of `own`, in any number of claims.
Outcome open_span(Claims& claims, Environment& own, Range bytes);

// The pages are inaccessible now, and native code may still be at work on a view of what lies or
// lay there: the handler makes what such code meets accessible.
void expect_late_access(Claims& claims, Range pages);

// Keeps the handler away from these pages for as long as `closed` lives.
void close(Claims& claims, Range pages, watches::Closed& closed);

// The pages now allow something else; where that failed nobody knows what.
void set_protection(Claims& claims, Range pages, int protection, bool known);

// kFault at the first page whose mapped bytes are lost. For writing, also those where only the way
// to the file is: what is written would stay here.
enum class Use { kRead, kWrite };
Outcome check_intact(Claims& claims, Range pages, Use use);
// kFault at the first page that holds what was written to it, and would no longer allow that:
// repair() could not tell it from a stray write.
Outcome check_unwritten(Claims& claims, Range pages);
// kFault at the first page that is not what was mapped, whatever the reason.
Outcome check_undamaged(Claims& claims, Range pages);
// The same for pages that are about to leave their claims: what the guard keeps is for the whole of
// a claim, so no part of a damaged one may go.
Outcome check_whole(Claims& claims, Range pages);

}  // namespace memmap::guarding
