package health

import (
	"math"
	"slices"
	"testing"

	"github.com/commserver/commserver/internal/comm"
)

func took(id byte, name string, n int64) Carrier {
	return Carrier{ID: comm.ID{id}, Name: name, Messages: n}
}

// TestCarriersAreKept: those that took most, as they were written, and of as many as are kept a sum of all that said so.
func TestCarriersAreKept(t *testing.T) {
	t.Parallel()
	var all []Carrier
	for i := range byte(MostCarriers + 2) {
		all = append(all, took(i+1, "ü\"<", int64(i)))
	}
	all[0].Messages = math.MaxInt64
	text, err := EncodeCarriers(all)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := DecodeCarriers(text)
	if want := []Carrier{all[0], all[6], all[5], all[4], all[3]}; err != nil || !slices.Equal(kept, want) {
		t.Errorf("%+v %v, want %+v", kept, err, want)
	}
	if text, err := EncodeCarriers(nil); text != "" || err != nil {
		t.Errorf("nothing is written as %q %v", text, err)
	}
	if none, err := DecodeCarriers(""); none != nil || err != nil {
		t.Errorf("nothing is read as %+v %v", none, err)
	}
	if _, err := DecodeCarriers("{"); err == nil {
		t.Error("what is no list is read as one")
	}
}

func TestCarriersOfTwoAreJoined(t *testing.T) {
	t.Parallel()
	a, b := []Carrier{took(1, "was", 5), took(2, "two", 4)}, []Carrier{took(1, "is", 3), took(3, "three", 9)}
	if got, want := AddCarriers(a, b), []Carrier{took(3, "three", 9), took(1, "is", 8), took(2, "two", 4)}; !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := LatestCarriers(a, b), []Carrier{took(3, "three", 9), took(1, "is", 5), took(2, "two", 4)}; !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if a[0].Name != "was" || b[0].Messages != 3 {
		t.Error("what was joined is changed")
	}
}
