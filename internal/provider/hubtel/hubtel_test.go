package hubtel

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/commserver/commserver/internal/provider/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func subject() providertest.HTTP { return providertest.HTTP{Adapter: Adapter()} }

func TestConformance(t *testing.T) { providertest.RunHTTP(t, subject()) }

func FuzzAnswer(f *testing.F) { providertest.FuzzAnswer(f, subject()) }

func FuzzReport(f *testing.F) { providertest.FuzzReport(f, subject()) }

func FuzzQuestion(f *testing.F) { providertest.FuzzQuestion(f, subject()) }
