package shardsim

import (
	"reflect"
	"strings"
	"testing"
)

const protocolSeeds = 200

// TestProtocol runs the protocol itself: no seed may show a violation.
func TestProtocol(t *testing.T) {
	t.Parallel()
	var sum Report
	for seed := uint64(1); seed <= protocolSeeds; seed++ {
		r := Run(seed, Variant{}, false)
		if len(r.Violations) > 0 {
			r = Run(seed, Variant{}, true)
			t.Fatalf("seed %d: %s\n%s", seed, strings.Join(r.Violations, "\n"), r.Timeline)
		}
		sum.add(r)
	}
	if sum.Unknown == 0 || sum.Extra == 0 || sum.Takeovers == 0 {
		t.Fatalf("the faults did nothing: %+v", sum)
	}
	t.Logf("%d seeds: %d accepted, %d starts, %d copies, %d extra, %d unknown attempts, %d take-overs",
		protocolSeeds, sum.Accepted, sum.Starts, sum.Copies, sum.Extra, sum.Unknown, sum.Takeovers)
}

func (r *Report) add(x Report) {
	r.Accepted += x.Accepted
	r.Starts += x.Starts
	r.Copies += x.Copies
	r.Extra += x.Extra
	r.Unknown += x.Unknown
	r.Takeovers += x.Takeovers
	r.DeadSteps += x.DeadSteps
	r.DeadPolled += x.DeadPolled
}

// TestSameSeedSameRun holds the promise that a seed is enough to repeat a failure.
func TestSameSeedSameRun(t *testing.T) {
	t.Parallel()
	for seed := uint64(1); seed <= 5; seed++ {
		if a, b := Run(seed, Variant{}, true), Run(seed, Variant{}, true); a.Timeline != b.Timeline {
			t.Fatalf("seed %d gave two different timelines", seed)
		}
	}
}

// costs are the variants that break no promise but cost copies or reading; see TestCosts.
var costs = map[string]bool{"DropLateResult": true, "ReadFromStart": true, "PollFromStart": true}

// TestPlantedWeaknesses switches one rule off at a time: the checker must notice
// within a bounded number of seeds.
func TestPlantedWeaknesses(t *testing.T) {
	t.Parallel()
	const bound = 250
	for f := range reflect.TypeFor[Variant]().Fields() {
		if costs[f.Name] {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			v, ok := ParseVariant(f.Name)
			if !ok {
				t.Fatal("no such variant")
			}
			for seed := uint64(1); seed <= bound; seed++ {
				if r := Run(seed, v, false); len(r.Violations) > 0 {
					t.Logf("found by seed %d: %s", seed, r.Violations[0])
					return
				}
			}
			t.Fatalf("not found within %d seeds", bound)
		})
	}
}

// TestCosts measures what evidence, the cursor and the poll's horizon save while a snapshot is held.
func TestCosts(t *testing.T) {
	t.Parallel()
	sum := func(v Variant) (r Report) {
		for seed := uint64(1); seed <= 30; seed++ {
			w := newWorld(seed, v, false)
			w.db.held = true
			r.add(w.play(seed))
		}
		return r
	}
	base := sum(Variant{})
	drop, start, poll := sum(Variant{DropLateResult: true}), sum(Variant{ReadFromStart: true}), sum(Variant{PollFromStart: true})
	t.Logf("extra copies: %d, late results dropped %d", base.Extra, drop.Extra)
	t.Logf("dead rows stepped over by windows: %d, from the start %d", base.DeadSteps, start.DeadSteps)
	t.Logf("dead rows stepped over by polls: %d, from the start %d", base.DeadPolled, poll.DeadPolled)
	if drop.Extra <= base.Extra || start.DeadSteps < 2*base.DeadSteps || poll.DeadPolled < 2*base.DeadPolled {
		t.Error("a rule that should save something does not")
	}
}
