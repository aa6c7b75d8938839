package intake

import (
	"testing"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/comm"
)

const benchBody = `{"channel":"SMS","to":"233241234567","body":"Hello from CommServer","idempotencyKey":"welcome-user-42"}`

// TestDecodeAllocations bounds what reading and preparing one message may allocate.
func TestDecodeAllocations(t *testing.T) {
	s := New(Config{Templates: &storage{}})
	app := tenant()
	body := []byte(benchBody)
	got := testing.AllocsPerRun(200, func() {
		q, err := Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		var r Result
		if _, err := s.prepare(t.Context(), app, q, &r); err != nil {
			t.Fatal(err)
		}
	})
	const most = 18 // 11 measured; the race detector adds some
	if got > most {
		t.Errorf("%.0f allocations, at most %d", got, most)
	}
}

func BenchmarkDecode(b *testing.B) {
	body := []byte(benchBody)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPrepare(b *testing.B) {
	s := New(Config{Templates: &storage{}, Phones: address.Phones{}})
	app := &comm.App{ID: comm.NewID(1), Sandbox: true, ShardSpread: 1}
	q, err := Decode([]byte(benchBody))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		var r Result
		if _, err := s.prepare(b.Context(), app, q, &r); err != nil {
			b.Fatal(err)
		}
	}
}
