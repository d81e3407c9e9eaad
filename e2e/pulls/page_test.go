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
)

// What people see: the page of a pull request on the forge, in a browser. With PICTURE=file.png a picture
// of it is kept, which is how that of the documentation was made.
func TestPage(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	h := newModelHouse(t, scored, "v7", "v8")
	h.push(h.owner, "main", files{
		"overlays/shop/kustomization.yaml": "resources: [deployment.yaml]\n",
		"overlays/shop/deployment.yaml":    shop("2", "1.4.0"),
	})
	h.must(h.owner.Call(t.Context(), http.MethodPatch, "/repos/"+h.repo.FullName(), map[string]any{"private": false}, nil))
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

	dom := browse(t, browser, p.URL, "--dump-dom")
	if !strings.Contains(dom, "sluice/plan") {
		t.Error("the page does not show the status")
	}
	_, comment, _ := strings.Cut(dom[strings.LastIndex(dom, "render-content"):], ">")
	comment, _, _ = strings.Cut(comment, "raw-content")
	for _, want := range []string{"2 overlays, 2 objects change", "<table", "spec.replicas", "+0.001"} {
		if !strings.Contains(comment, want) {
			t.Errorf("the comment does not show %q", want)
		}
	}
	for _, odd := range []string{"&lt;", "sluice:plan", "| ---", "sluice.dev/revision"} {
		if strings.Contains(comment, odd) {
			t.Errorf("the comment shows %q:\n%s", odd, comment)
		}
	}
	picture := os.Getenv("PICTURE")
	if picture == "" {
		picture = filepath.Join(t.TempDir(), "page.png")
	}
	browse(t, browser, p.URL, "--screenshot="+picture, "--window-size=1200,1700", "--hide-scrollbars")
	if info, err := os.Stat(picture); err != nil || info.Size() < 10_000 {
		t.Errorf("there is no picture: %v", err)
	}
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
