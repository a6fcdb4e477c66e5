/** The region of the token buckets; dataplane/token-buckets.ts knows what is in it. */
import { HEADER_WORDS, type Layout, magic } from "./region.ts";

export const BUCKETS_LAYOUT: Layout = { magic: magic("HTok"), version: 2 };
/** Sets of buckets (a power of two), and buckets of a set. */
export const BUCKET_SETS = 4096;
export const BUCKET_WAYS = 8;
const BUCKETS = BUCKET_SETS * BUCKET_WAYS;
/** Words of a key: rule and family, then the source's words under the prefix. */
export const KEY_WORDS = 5;
/** Float64 words of a bucket: when it was used last (ms), packets and bits it still has. */
export const STATE_WORDS = 3;
const STATES_AT = HEADER_WORDS * 4;
const KEYS_AT = STATES_AT + BUCKETS * STATE_WORDS * 8;
export const BUCKETS_BYTES = KEYS_AT + BUCKETS * KEY_WORDS * 4;

export const bucketStates = (buffer: ArrayBufferLike): Float64Array => new Float64Array(buffer, STATES_AT, BUCKETS * STATE_WORDS);
export const bucketKeys = (buffer: ArrayBufferLike): Int32Array => new Int32Array(buffer, KEYS_AT, BUCKETS * KEY_WORDS);
