package artifact_test

import (
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// TestMemory reads 1 GB: in one file, and in several at once.
func TestMemory(t *testing.T) {
	b := newBucket(t)
	// Files with nothing but a hole: they are written at once, and read like others.
	const size = 1 << 30
	dir := filepath.Join(b.Dir, "buckets", b.name)
	for name, size := range map[string]int64{"one/model.bin": size, "many/0": size / 4, "many/1": size / 4, "many/2": size / 4, "many/3": size / 4} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
	}
	for path, digest := range map[string]string{
		// head -c 1073741824 /dev/zero | sha256sum
		"one/model.bin": "sha256:49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14",
		"many/":         "",
	} {
		peak, stop := heap()
		status, err := b.inspect(newInspector(), v1alpha1.Artifact{URI: b.uri(path), Digest: digest}, nil)
		stop()
		if err != nil || status.Size != size {
			t.Errorf("%s: %+v, %v", path, status, err)
		}
		// The S3 proxy of the test is in this process as well.
		t.Logf("%s: %d MB read, the heap grew by %.1f MB at most", path, size>>20, float64(*peak)/(1<<20))
		if *peak > 64<<20 {
			t.Errorf("%s: the heap grew by %d bytes", path, *peak)
		}
	}
}

// heap watches by how much the heap grows at most.
func heap() (peak *uint64, stop func()) {
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	peak = new(uint64)
	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			if now.HeapAlloc > before.HeapAlloc {
				*peak = max(*peak, now.HeapAlloc-before.HeapAlloc)
			}
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	return peak, func() {
		close(done)
		watcher.Wait()
	}
}

func BenchmarkRead(b *testing.B) {
	const size = 256 << 20
	file := filepath.Join(b.TempDir(), "model.bin")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		b.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	for b.Loop() {
		if _, err := newInspector().Local(b.Context(), file); err != nil {
			b.Fatal(err)
		}
	}
}
