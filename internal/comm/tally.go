package comm

import (
	"math"
	"time"
)

// Counter is a thing that statistics count. Values are stored: never renumber.
type Counter uint8

// The counters. Those of messages count each time that a message comes to a
// status; those of attempts belong to a provider; those of waits have buckets.
const (
	CountAccepted Counter = iota + 1
	CountRetried          // by a RETRY: queued again
	CountSent
	CountDelivered
	CountFailed
	CountSuppressed
	CountCancelled
	TriesStarted
	TriesSent
	TriesFailed
	TriesThrottled
	TriesUnknown
	WaitAccepted  // from acceptance to SENT, of messages without a scheduledAt that lay ahead
	WaitScheduled // from scheduledAt to SENT, of the others
)

// Counted says what an event counts: a message's coming to a status, and, if the
// event names a provider, an attempt's outcome; 0 for nothing. It is the only
// place that knows. What it does not know, since a newer node wrote it, counts
// nothing here.
func Counted(cause Cause, from, to Status) (message, attempt Counter) {
	if int(cause) < len(attemptCounters) {
		attempt = attemptCounters[cause]
	}
	return counted(cause, from, to), attempt
}

// counted goes by the status alone: an event that changes none counts no message.
func counted(cause Cause, from, to Status) Counter {
	byStatus := [...]Counter{Sent: CountSent, Delivered: CountDelivered, Failed: CountFailed, Suppressed: CountSuppressed, Cancelled: CountCancelled}
	switch {
	case from == to || int(to) >= len(byStatus):
		return 0
	case cause == CauseAccepted:
		return CountAccepted
	case cause == CauseRetryRequested:
		return CountRetried
	}
	return byStatus[to]
}

// attemptCounters is what an event that names a provider says of an attempt. What
// is found out later (a proof) is counted when it is found out, and what was
// counted before stays. An attempt that was given back unsent counts as started only.
var attemptCounters = [CauseReportNoted + 1]Counter{
	CauseAttemptStarted:             TriesStarted,
	CauseProviderAccepted:           TriesSent,
	CauseSettledByProof:             TriesSent,
	CauseLateProof:                  TriesSent,
	CauseAttemptFailed:              TriesFailed,
	CauseRetryTransient:             TriesFailed,
	CauseProviderRejected:           TriesFailed,
	CauseExhausted:                  TriesFailed,
	CauseExpired:                    TriesFailed,
	CauseInternalError:              TriesFailed,
	CauseCancelledAfterCleanFailure: TriesFailed,
	CauseThrottled:                  TriesThrottled,
	CauseAttemptUnknown:             TriesUnknown,
	CauseRetryUnknown:               TriesUnknown,
	CauseOutcomeUnknown:             TriesUnknown,
}

// Waits are counted in buckets, four to each doubling: bucket 0 is less than a
// millisecond, bucket n from 2^((n-1)/4) to 2^(n/4) milliseconds. A bucket's
// middle is within 9.1 % of whatever is in it.
const (
	WaitBuckets     = 161 // the last one is 26 years
	bucketsOfDouble = 4
)

// WaitBucket is the bucket of a wait.
func WaitBucket(wait time.Duration) uint8 {
	ms := float64(wait.Microseconds()) / 1000
	if ms < 1 {
		return 0
	}
	return uint8(min(WaitBuckets-1, 1+math.Floor(bucketsOfDouble*math.Log2(ms))))
}

// BucketWait is the middle of a bucket.
func BucketWait(bucket uint8) time.Duration {
	if bucket == 0 {
		return time.Millisecond / 2
	}
	return time.Duration(math.Exp2((float64(bucket)-0.5)/bucketsOfDouble) * float64(time.Millisecond))
}
