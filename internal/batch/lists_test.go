package batch

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func upTo(n, from int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = from + i
	}
	return out
}

// TestOneDoesNotWaitBehindLists: whoever hands in one item is in the next group, however
// much waits of others' lists, and then a quarter of the group is theirs.
func TestOneDoesNotWaitBehindLists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{delay: time.Second}
		g := New(Config[int, int]{Commit: r.commit, MaxItems: 8, MaxQueue: 16})
		stop := running(t, g)
		var wg sync.WaitGroup
		for n := range 4 { // more than the line has room for
			wg.Go(func() {
				if outs, errs := g.DoAll(t.Context(), upTo(20, 1000*(n+1))); errs != nil || len(outs) != 20 {
					t.Errorf("%v %v", outs, errs)
				}
			})
		}
		synctest.Wait()
		begin := time.Now()
		wait := doEach(t.Context(), g, 1, 2)
		for _, o := range wait() {
			if o.err != nil {
				t.Error(o.err)
			}
		}
		if took := time.Since(begin); took > 2*time.Second { // the group under way and theirs
			t.Errorf("took %v", took)
		}
		wg.Wait()
		stop()
		if group := r.groups[1]; len(group) != 4 || group[0] != 1 || group[1] != 2 || group[2] < 1000 {
			t.Errorf("their group is %v", group)
		}
		for _, group := range r.groups[2:] {
			if len(group) > 8 {
				t.Errorf("group %v", group)
			}
		}
	})
}

// TestListsGoOnBesideAFlood: where single items fill every group, by count or by bytes, a list still gets on.
func TestListsGoOnBesideAFlood(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]Config[int, int]{
		"count": {MaxItems: 4}, "bytes": {MaxItems: 100, MaxBytes: 40, Size: func(int) int { return 10 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{delay: time.Second}
				config.Commit = r.commit
				g := New(config)
				stop := running(t, g)
				done := make(chan struct{})
				var flood sync.WaitGroup
				for n := range 12 {
					flood.Go(func() {
						for {
							select {
							case <-done:
								return
							default:
							}
							if _, err := g.Do(t.Context(), n); err != nil {
								t.Error(err)
							}
						}
					})
				}
				time.Sleep(10 * time.Second)
				begin := time.Now()
				if _, errs := g.DoAll(t.Context(), upTo(6, 1000)); errs != nil {
					t.Error(errs)
				}
				if took := time.Since(begin); took > 16*time.Second {
					t.Errorf("a list of 6 took %v", took)
				}
				close(done)
				flood.Wait()
				stop()
				order := []int{}
				for _, group := range r.groups {
					for _, item := range group {
						if item >= 1000 {
							order = append(order, item)
						}
					}
				}
				if !slices.Equal(order, upTo(6, 1000)) {
					t.Errorf("order %v", order)
				}
			})
		})
	}
}
