// Exports only.
export { mapAnonymous, mapFile, mapFileSync } from './map.js';
export { Mapping, type Pin, type Residency } from './mapping.js';
export { MappedMemory, type MappingEvents } from './memory.js';
export type { Range } from './ranges.js';
export type {
  AnonymousOptions,
  MapOptions,
  PlacementOptions,
  SharedMapOptions,
} from './options.js';
export type { LongCallOptions, Progress } from './chunks.js';
export type { FileState } from './contents/status.js';
export type { ReloadOptions, Reloaded } from './contents/reload.js';
export type { LineOptions, StreamOptions } from './contents/stream.js';
export type { Access, Advice, ConstantTable, Protection } from './flags.js';
export type { FileLike } from './file.js';
export type { MappingState } from './record.js';
export type { AnonymousSource, FileSource, SharedSource, Source } from './source.js';
export type { ReplaceOption } from './owned.js';
export type { Numeric } from './sys.js';
export type { WriteSource } from './transfer.js';
export { Reservation, type Segment, reserve } from './reservation/reservation.js';
export type { ReserveOptions } from './reservation/reserve-options.js';
export type { Piece } from './reservation/place.js';
export { Arena, type ArenaOptions, type ArenaStats } from './reservation/arena.js';
export type { Lifetime, Policy } from './reservation/free-space.js';
export { registry, type Owner } from './owners.js';
export { SharedMemory, type SharedEntry } from './shared/shared-memory.js';
export type {
  SharedAccess,
  SharedCreateOptions,
  SharedLifetime,
  SharedOpenOptions,
} from './shared/shared-options.js';
export type { Seal } from './shared/seals.js';
export type { FileLock, LockFileOptions, LockKind } from './shared/file-lock.js';
export { addressSpace, type ProcessOptions } from './looking/address-space.js';
export type { Fragmentation, FreeBlock } from './looking/fragmentation.js';
export type { OwnerJson, Region, RegionJson, RegionOwner } from './looking/region.js';
export type { OwnerKind } from './looking/owner-draft.js';
export type { Trace, TraceEvent, TraceSnapshot, Unseen } from './looking/trace.js';
export type { TraceCall, Verdict } from './looking/trace-table.js';
export type { Drift } from './verify.js';
export {
  FaultError,
  MapError,
  type ErrorDetails,
  type FaultDetails,
  type FaultKind,
} from './errors.js';
export {
  type WaitAsyncOptions,
  type WaitOptions,
  type WaitResult,
  type Words,
  notify,
  wait,
  waitAsync,
} from './shared/wait.js';
export {
  Latest,
  type LatestCreateOptions,
  type LatestPlace,
  type LatestSizes,
} from './shared/latest.js';
export { LatestReader } from './shared/latest-reader.js';
export { LatestWriter } from './shared/latest-writer.js';
export { type Permit, Semaphore, type SemaphorePlace } from './shared/semaphore.js';
export { type ReadGuard, RwLock, type RwLockPlace, type WriteGuard } from './shared/rwlock.js';
export { Mutex, type LockAsyncOptions, type LockOptions, type MutexGuard } from './shared/mutex.js';
export { type GuardStatus, guardStatus } from './guard-status.js';
export type { FaultRecord } from './faults.js';
export { configure, type Settings } from './settings.js';
export * as sys from './sys.js';
export { constants } from './constants.js';
export { allocationGranularity, pageSize } from './granularity.js';
export { Channel } from './shared/channel.js';
export type { ChannelHandle } from './shared/channel-handle.js';
export type {
  ChannelCreateOptions,
  ChannelOpenOptions,
  ChannelOptions,
  ChannelUse,
} from './shared/channel-options.js';
export type { ChannelStats } from './shared/channel-stats.js';
export type { Codec, Incoming, Outgoing } from './shared/codec.js';
export type { MessageDraft, MessagePeek } from './shared/messages.js';
export type { ChannelSpinOptions, ChannelWaitOptions } from './shared/waiting-options.js';
