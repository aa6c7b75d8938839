package comm_test

import (
	"math"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// Every edge that ends in a status beyond the queue counts exactly that status.
func TestEveryEdgeIsCounted(t *testing.T) {
	t.Parallel()
	want := map[comm.Status]comm.Counter{comm.Sending: 0, comm.Sent: comm.CountSent, comm.Delivered: comm.CountDelivered, comm.Failed: comm.CountFailed,
		comm.Suppressed: comm.CountSuppressed, comm.Cancelled: comm.CountCancelled}
	for _, e := range comm.Edges() {
		got, attempt := comm.Counted(e.Cause, e.From, e.To)
		expected := want[e.To]
		switch {
		case e.Cause == comm.CauseAccepted:
			expected = comm.CountAccepted
		case e.Cause == comm.CauseRetryRequested:
			expected = comm.CountRetried
		}
		if got != expected {
			t.Errorf("%s, %s from %s to %s counts %d, want %d", e.Name, e.Cause, e.From, e.To, got, expected)
		}
		if e.From == comm.Sending && e.Who == "worker" && attempt == 0 && e.Cause != comm.CauseReleased && e.Cause != comm.CauseSuppressed {
			t.Errorf("%s, %s: an attempt ends and is counted as nothing", e.Name, e.Cause)
		}
	}
	for _, c := range comm.Causes() {
		for _, s := range comm.Statuses() {
			if got, _ := comm.Counted(c, s, s); got != 0 {
				t.Errorf("%s changes no status and counts %d", c, got)
			}
		}
	}
	// A newer node beside this one may write what this one does not know.
	unknown := comm.Cause(math.MaxUint8)
	if message, attempt := comm.Counted(unknown, comm.Sending, comm.Sent); message != comm.CountSent || attempt != 0 {
		t.Errorf("an unknown cause counts %d and %d", message, attempt)
	}
	if message, attempt := comm.Counted(unknown, comm.Queued, comm.Status(math.MaxUint8)); message != 0 || attempt != 0 {
		t.Errorf("an unknown status counts %d and %d", message, attempt)
	}
}

func TestWaitsAreWithinTenPercent(t *testing.T) {
	t.Parallel()
	for wait := time.Millisecond; wait < 400*24*time.Hour; wait += wait / 97 {
		b := comm.WaitBucket(wait)
		if off := math.Abs(float64(comm.BucketWait(b))/float64(wait) - 1); off > 0.1 {
			t.Fatalf("%v is in bucket %d, whose middle is %v", wait, b, comm.BucketWait(b))
		}
		if b > 0 && comm.BucketWait(b) <= comm.BucketWait(b-1) {
			t.Fatalf("bucket %d is not after the one before", b)
		}
	}
	if comm.WaitBucket(-time.Second) != 0 || comm.WaitBucket(999*time.Microsecond) != 0 || comm.WaitBucket(math.MaxInt64) != comm.WaitBuckets-1 {
		t.Error("the ends are wrong")
	}
}
