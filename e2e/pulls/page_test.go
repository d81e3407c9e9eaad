package pulls_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/e2e/forge"
)

// What people see: the page of a pull request with its plan, in a browser.
func TestPage(t *testing.T) {
	browser := chromium(t)
	h := newModelHouse(t, scored, "v7", "v8")
	h.push(h.owner, "main", files{
		"overlays/shop/kustomization.yaml": "resources: [deployment.yaml]\n",
		"overlays/shop/deployment.yaml":    shop("2", "1.4.0"),
	})
	h.begin()
	h.follow("shop")

	model, err := h.repo.Git(h.owner, "show", "main:models/model.yaml")
	h.must(err)
	before, production, _ := strings.Cut(model, "- name: production")
	h.push(h.ann, "release", files{
		"overlays/shop/deployment.yaml": shop("3", "1.5.0"),
		"models/model.yaml":             before + "- name: production" + strings.Replace(production, "version: v7", "version: v8", 1) + "\n",
	})
	p := h.open(h.ann, "release", "Release 1.5 with the new fraud model")
	h.status(p.Head.SHA, "sluice/plan", "success", "2 overlays, 2 objects change, 1 model promotes")
	h.comment(p, "plan", "auc", "0.940", "0.941")

	page := h.page(t, browser, p, "1200,1700")
	if !strings.Contains(page.dom, "sluice/plan") {
		t.Error("the page does not show the status")
	}
	page.shows(t, 1, "2 overlays, 2 objects change", "<table", "spec.replicas", "+0.001")
}

// page is a pull request as people see it: the texts are its description and the comments, as the forge shows them.
type page struct {
	dom   string
	texts []string
}

// page opens a pull request in a browser with a window of a size. With PICTURE=file.png a picture of it is kept,
// which is how those of the documentation were made.
func (h *house) page(t *testing.T, browser string, p *forge.Pull, size string) page {
	t.Helper()
	private := func(is bool) {
		if err := h.owner.Call(context.Background(), http.MethodPatch, "/repos/"+h.repo.FullName(), map[string]any{"private": is}, nil); err != nil {
			t.Fatal(err)
		}
	}
	private(false) // the browser has no account
	t.Cleanup(func() { private(true) })
	seen := page{dom: browse(t, browser, p.URL, "--dump-dom")}
	for _, part := range strings.Split(seen.dom, "render-content")[1:] {
		_, text, _ := strings.Cut(part, ">")
		text, _, _ = strings.Cut(text, "raw-content")
		seen.texts = append(seen.texts, text)
	}
	picture := os.Getenv("PICTURE")
	if picture == "" {
		picture = filepath.Join(t.TempDir(), "page.png")
	}
	browse(t, browser, p.URL, "--screenshot="+picture, "--window-size="+size, "--hide-scrollbars")
	if info, err := os.Stat(picture); err != nil || info.Size() < 10_000 {
		t.Errorf("there is no picture: %v", err)
	}
	return seen
}

// shows checks what a text shows, and that none of it is as it was written.
func (p page) shows(t *testing.T, n int, words ...string) {
	t.Helper()
	if n >= len(p.texts) {
		t.Fatalf("the page has %d texts", len(p.texts))
	}
	for _, want := range words {
		if !strings.Contains(p.texts[n], want) {
			t.Errorf("it does not show %q:\n%s", want, p.texts[n])
		}
	}
	for _, odd := range []string{"&lt;", "sluice:plan", "| ---", "sluice.dev/revision"} {
		if strings.Contains(p.texts[n], odd) {
			t.Errorf("it shows %q:\n%s", odd, p.texts[n])
		}
	}
}

// chromium is the browser, without which there is no page to see.
func chromium(t *testing.T) string {
	t.Helper()
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	return browser
}

// browse opens a page without a window, and returns what the browser prints.
func browse(t *testing.T, browser, url string, flags ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, browser, append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + t.TempDir()}, append(flags, url)...)...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", browser, err)
	}
	return string(out)
}
