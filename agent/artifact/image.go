package artifact

import (
	"context"
	"encoding/json"
	"math"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// maxImages is how many images an index may have.
const maxImages = 64

// image looks at an image, artifact or index in a registry. The digest of its manifest stands for
// everything in it, so that no layer is read.
func (i *Inspector) image(ctx context.Context, at location, c Credentials) (Found, error) {
	reference, err := name.ParseReference(at.path)
	if err != nil {
		return Found{}, errorf(Invalid, "this is no reference to an image: write it as oci://registry.example.com/name:tag or oci://registry.example.com/name@sha256:…")
	}
	login, err := c.login(reference.Context())
	if err != nil {
		return Found{}, err
	}
	trusted, err := c.authorities()
	if err != nil {
		return Found{}, err
	}
	line := i.newLine(trusted, false)
	defer line.base.CloseIdleConnections()
	manifest, err := remote.Get(reference, remote.WithContext(ctx), remote.WithTransport(line), remote.WithAuth(login), remote.WithJobs(i.limits.Parallel))
	if err != nil {
		return Found{}, err
	}
	if manifest.Digest.Algorithm != "sha256" {
		return Found{}, errorf(Invalid, "it is named by its %s: name it by its SHA-256", manifest.Digest.Algorithm)
	}
	found := Found{URI: at.uri, Digest: manifest.Digest.String(), Fingerprint: manifest.Digest.Hex}
	if found.Size, found.Files, err = layers(manifest); err != nil {
		return Found{}, err
	}
	if i.limits.Size > 0 && found.Size > i.limits.Size {
		return found, errorf(TooLarge, "it has %d bytes, and at most %d are taken: raise the limit", found.Size, i.limits.Size)
	}
	return found, nil
}

// layers returns the size and the number of all layers of an image, or of those of an index.
func layers(manifest *remote.Descriptor) (size int64, number int, err error) {
	images, err := imagesOf(manifest)
	if err != nil {
		return 0, 0, err
	}
	for _, image := range images {
		manifest, err := image.Manifest()
		if err != nil {
			return 0, 0, err
		}
		for _, layer := range manifest.Layers {
			if layer.Size < 0 || layer.Size > math.MaxInt64-size {
				return 0, 0, errorf(Invalid, "its manifest says that a layer has %d bytes: push it anew", layer.Size)
			}
			size += layer.Size
		}
		number += len(manifest.Layers)
	}
	return size, number, nil
}

// imagesOf returns an image, or those of an index.
func imagesOf(manifest *remote.Descriptor) ([]v1.Image, error) {
	if !manifest.MediaType.IsIndex() {
		image, err := manifest.Image()
		return []v1.Image{image}, err
	}
	index, err := manifest.ImageIndex()
	if err != nil {
		return nil, err
	}
	list, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(list.Manifests) > maxImages {
		return nil, errorf(TooLarge, "it is an index of %d images: name one that has at most %d", len(list.Manifests), maxImages)
	}
	var images []v1.Image
	for _, m := range list.Manifests {
		if !m.MediaType.IsImage() {
			continue
		}
		image, err := index.Image(m.Digest)
		if err != nil {
			return nil, err
		}
		images = append(images, image)
	}
	return images, nil
}

// login is how to show a registry who we are.
func (c Credentials) login(repository name.Repository) (authn.Authenticator, error) {
	if len(c.Data) == 0 {
		login, err := authn.DefaultKeychain.Resolve(repository)
		if err != nil {
			return nil, errorf(Invalid, "what this process has of Docker's configuration cannot be used: check ~/.docker/config.json")
		}
		return login, nil
	}
	var config struct {
		Auths map[string]authn.AuthConfig `json:"auths"`
	}
	if json.Unmarshal(c.Data[".dockerconfigjson"], &config) != nil {
		return nil, errorf(Invalid, "the Secret has no logins for registries under .dockerconfigjson: create it with kubectl create secret docker-registry")
	}
	// A longer path goes before a shorter one, as for the kubelet.
	best, chosen := -1, authn.Anonymous
	for key, login := range config.Auths {
		if of := registryOf(key); len(of) > best && (repository.Name() == of || strings.HasPrefix(repository.Name(), of+"/")) {
			best, chosen = len(of), authn.FromConfig(login)
		}
	}
	return chosen, nil
}

// registryOf is the registry, and perhaps a path in it, that a login is for. Docker's own is
// written in several ways.
func registryOf(key string) string {
	_, host, found := strings.Cut(key, "://")
	if !found {
		host = key
	}
	host = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(host, "/"), "/v1"), "/v2")
	if host == "docker.io" || host == "registry-1.docker.io" {
		return name.DefaultRegistry
	}
	return host
}
