package webhook

import (
	"net/http"
	"testing"
	"time"
)

// What is removed from the store is not posted any more: what is queued is read again before it is believed, however long it has to wait.
func TestNothingIsPostedOfWhatWasErased(t *testing.T) {
	for name, mood := range map[string]func(http.ResponseWriter, *http.Request){
		"slow":        func(w http.ResponseWriter, _ *http.Request) { time.Sleep(14 * time.Second); w.WriteHeader(200) },
		"wants peace": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "30"); w.WriteHeader(429) },
		"down":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, nil, func(b *bubble) {
				b.receiver(0).mood = mood
				for range 25 {
					b.made(0)
				}
				time.Sleep(2 * time.Second)
				called := len(b.receiver(0).got())
				if called == 0 || called == 25 {
					b.Fatalf("%d calls before it", called)
				}
				b.m.mu.Lock()
				clear(b.m.rows)
				b.m.mu.Unlock()
				gone := time.Now()
				time.Sleep(10 * time.Minute)
				for _, p := range b.receiver(0).got() {
					if late := p.at.Sub(gone); late > Lag {
						b.Errorf("posted %v after it was erased", late)
					}
				}
				b.s.mu.Lock()
				defer b.s.mu.Unlock()
				if b.s.queued != 0 {
					b.Errorf("%d bodies are held", b.s.queued)
				}
			})
		})
	}
}

// An endpoint with more than it takes is read again and again, and gets everything once.
func TestALongQueueIsReadAgain(t *testing.T) {
	inBubble(t, 1, nil, func(b *bubble) {
		b.receiver(0).mood = func(w http.ResponseWriter, _ *http.Request) { time.Sleep(time.Second); w.WriteHeader(200) }
		for range 200 {
			b.made(0)
		}
		time.Sleep(70 * time.Second) // four at once
		if n := len(b.receiver(0).got()); n != 200 {
			b.Errorf("%d posts of 200", n)
		}
		seen := map[string]int{}
		for _, p := range b.receiver(0).got() {
			if seen[p.head.Get("Webhook-Id")]++; seen[p.head.Get("Webhook-Id")] > 1 {
				b.Errorf("%s was posted twice", p.head.Get("Webhook-Id"))
			}
		}
	})
}
