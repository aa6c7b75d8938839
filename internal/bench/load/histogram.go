package load

import (
	"math/bits"
	"time"
)

const (
	subBits  = 6 // 64 buckets for each power of two: an error of at most 1.6 %
	subCount = 1 << subBits
	maxBits  = 36 // values above 2^36 ns (69 s) count as that
	buckets  = (maxBits - subBits + 1) * subCount
)

// Histogram counts durations in buckets that grow with the value, so that it
// keeps a fixed size and an error of at most 1.6 % from a nanosecond to a
// minute. The zero value is ready; it is not safe for concurrent use.
type Histogram struct {
	counts [buckets]uint64
	total  uint64
	max    time.Duration
}

// Add counts one duration; negative ones count as zero.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d))]++
	h.total++
	h.max = max(h.max, d)
}

// Merge adds what another one has counted.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.max = max(h.max, o.max)
}

// Count is how many durations were added.
func (h *Histogram) Count() uint64 { return h.total }

// Max is the longest duration added.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile is the duration that the share q (0 to 1) of all does not exceed;
// zero when nothing was added.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := uint64(q * float64(h.total))
	if float64(rank) < q*float64(h.total) || rank == 0 {
		rank++
	}
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return min(upperBound(i), h.max)
		}
	}
	return h.max
}

func bucketOf(v uint64) int {
	if v >= 1<<maxBits {
		return buckets - 1
	}
	if v < subCount {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - subBits
	return shift*subCount + int(v>>shift)
}

// upperBound is the largest value of a bucket.
func upperBound(i int) time.Duration {
	if i < subCount {
		return time.Duration(i)
	}
	shift := i/subCount - 1
	return time.Duration((uint64(i%subCount+subCount)+1)<<shift - 1)
}
