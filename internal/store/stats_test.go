package store

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/commserver/commserver/internal/comm"
)

// A TopSum is what a Top would be, in whatever order rows name their apps, and stays bounded.
func TestATopSumIsTheSameAsATop(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, apps := range []int{1, 5, TopSize, 2 * TopSize} {
		sum, want := TopSum{}, Top{}
		for range 50 {
			row := Top{}
			for range rnd.IntN(apps + 1) {
				row[comm.ID{byte(rnd.IntN(apps)), byte(rnd.IntN(2))}] = rnd.Int64N(1000)
			}
			b := row.Encode()
			sum.Add(b)
			if err := want.Decode(b); err != nil {
				t.Fatal(err)
			}
		}
		if got := sum.Top(); !maps.Equal(got, want) {
			t.Errorf("%d apps: %v, not %v", apps, got, want)
		}
	}
	often, sum := comm.ID{0xff}, TopSum{}
	for i := range 10 * topMost {
		sum.Add(Top{often: 1, {byte(i), byte(i >> 8), byte(i >> 16)}: 1}.Encode())
		if len(sum.apps) > topMost {
			t.Fatalf("it holds %d apps", len(sum.apps))
		}
	}
	if top := sum.Top(); len(top) > topMost || top.First(1)[0] != often {
		t.Errorf("%d apps", len(top))
	}
	before := sum.Top()
	if sum.Add([]byte("damaged")); !maps.Equal(sum.Top(), before) {
		t.Error("what cannot be read is counted")
	}
}
