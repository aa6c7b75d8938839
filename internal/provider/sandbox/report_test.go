package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/all"
	"github.com/commserver/commserver/internal/provider/sandbox"
)

// kept is what a sender handed over.
type kept struct {
	apps []comm.ID
	all  []*provider.Callback
	err  error
}

func (k *kept) keep(_ context.Context, app comm.ID, c *provider.Callback) error {
	if k.err == nil {
		k.apps, k.all = append(k.apps, app), append(k.all, c)
	}
	return k.err
}

func TestReports(t *testing.T) {
	t.Parallel()
	const attempt = 3
	for name, want := range map[string][]provider.Report{
		"delivered":  {{Fate: provider.Delivered}},
		"bounced":    {{Fate: provider.Undelivered, Suppress: comm.SuppressHardBounce, Code: "sandbox_bounced"}},
		"complained": {{Fate: provider.Delivered}, {Fate: provider.Complained, Suppress: comm.SuppressComplaint}},
		"retry":      nil, "nobody": nil,
	} {
		for _, to := range []string{name + "@sandbox.commserver.test", strings.ToUpper(name) + "+order-42@Sandbox.CommServer.Test"} {
			var k kept
			m := message(t, comm.Email, to)
			m.App, m.Attempt = comm.ID{7}, attempt
			if _, err := sandbox.New(nil, k.keep).Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			if len(k.all) != min(len(want), 1) {
				t.Fatalf("%s: %d requests", to, len(k.all))
			}
			if len(want) == 0 {
				continue
			}
			if stored := k.all[0].URL.String() + string(k.all[0].Body); k.apps[0] != m.App || strings.Contains(stored, "@") || strings.Contains(stored, "order-42") || strings.Contains(stored, "secret") {
				t.Errorf("%s: %v, %s", to, k.apps, stored)
			}
			got, err := sandbox.Reporter().Reporting.Read(k.all[0])
			if err != nil || len(got) != len(want) {
				t.Fatalf("%s: %+v %v", to, got, err)
			}
			for i, r := range got {
				if w := want[i]; r.Fate != w.Fate || r.Suppress != w.Suppress || r.Code != w.Code || r.Correctable || r.Message != m.ID || r.Attempt != attempt || r.Ref != m.ID.String() || strings.Contains(r.Text, "@") {
					t.Errorf("%s: %+v, want %+v", to, r, w)
				}
			}
		}
	}
}

// A message is not accepted without the report that was asked for; an attempt that is refused is not reported.
func TestNoReport(t *testing.T) {
	t.Parallel()
	k := kept{err: errors.New("no database")}
	s := sandbox.New(nil, k.keep)
	_, err := s.Send(t.Context(), message(t, comm.SMS, "233000000003"))
	if e := provider.Classify(err); e.Class != provider.Transient || !e.Healthy || e.Code != "sandbox_report" || !errors.Is(err, k.err) {
		t.Errorf("%+v", e)
	}
	for nn := range 10 {
		to := fmt.Sprintf("2330000000%02d", nn)
		if nn == 1 || nn == 3 || nn == 4 || nn == 7 { // reported, or slow
			continue
		}
		if _, err := s.Send(t.Context(), message(t, comm.SMS, to)); errors.Is(err, k.err) {
			t.Errorf("%s: a report is stored", to)
		}
	}
}

// What is read is what Send handed over; whatever else came in says nothing.
func TestReadIsTotal(t *testing.T) {
	t.Parallel()
	read := sandbox.Reporter().Reporting.Read
	good := message(t, comm.Email, "delivered@sandbox.commserver.test")
	named, err := url.Parse(provider.Named("/", good))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*provider.Callback{
		{URL: &url.URL{}, Body: []byte("delivered")}, {URL: &url.URL{RawQuery: "cs_m=x&cs_a=1"}, Body: []byte("delivered")}, {URL: named}, {URL: named, Body: []byte("failed")},
		{URL: named, Body: []byte("\xff\x00")}, {URL: named, Body: []byte("DELIVERED")},
	} {
		c.Method = http.MethodPost
		if got, err := read(c); err == nil || len(got) != 0 {
			t.Errorf("%s %q: %+v", c.URL, c.Body, got)
		}
	}
	if got, err := read(&provider.Callback{URL: named, Body: []byte("delivered")}); err != nil || len(got) != 1 {
		t.Errorf("%+v %v", got, err)
	}
}

// TestNoConfiguration: nobody can have a configuration, and so a callback URL, of the sandbox.
func TestNoConfiguration(t *testing.T) {
	t.Parallel()
	if slices.ContainsFunc(all.Adapters(), func(a provider.Adapter) bool { return strings.EqualFold(a.Type, sandbox.Type) }) {
		t.Error("the sandbox is among the types of providers")
	}
}
