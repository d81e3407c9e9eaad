package gitrepo

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// FetchRepository brings the commit that a Repository selects into the mirror at dir, in the
// time that its spec gives and with the Secrets that it names.
func FetchRepository(ctx context.Context, dir string, repo *v1alpha1.Repository, secrets client.Reader, allowInsecure bool) (Fetched, error) {
	ctx, cancel := context.WithTimeout(ctx, repo.Spec.Timeout.Duration)
	defer cancel()
	remote, err := RemoteOf(ctx, repo, secrets, allowInsecure)
	if err != nil {
		return Fetched{}, err
	}
	mirror, err := Open(dir)
	if err != nil {
		return Fetched{}, err
	}
	return mirror.Fetch(ctx, remote, wantOf(repo.Spec.Ref))
}

// PushRepository makes a commit on top of one that was fetched into the mirror at dir, and pushes
// it to the Repository's remote, as Push does.
func PushRepository(ctx context.Context, dir string, repo *v1alpha1.Repository, secrets client.Reader, allowInsecure bool, c Commit) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, repo.Spec.Timeout.Duration)
	defer cancel()
	remote, err := RemoteOf(ctx, repo, secrets, allowInsecure)
	if err != nil {
		return "", err
	}
	return Push(ctx, dir, remote, c)
}

// DeleteRepositoryBranch deletes a branch of the Repository's remote, as DeleteBranch does.
func DeleteRepositoryBranch(ctx context.Context, repo *v1alpha1.Repository, secrets client.Reader, allowInsecure bool, branch, tip string) error {
	ctx, cancel := context.WithTimeout(ctx, repo.Spec.Timeout.Duration)
	defer cancel()
	remote, err := RemoteOf(ctx, repo, secrets, allowInsecure)
	if err != nil {
		return err
	}
	return DeleteBranch(ctx, remote, branch, tip)
}

// wantOf is the commit that spec.ref selects; nil is the remote's HEAD.
func wantOf(ref *v1alpha1.RepositoryRef) Want {
	if ref == nil {
		return Want{}
	}
	return Want{Branch: ref.Branch, Tag: ref.Tag, SemVer: ref.SemVer, Name: ref.Name, Commit: ref.Commit}
}

// RemoteOf is where a Repository is and how to reach it.
func RemoteOf(ctx context.Context, repo *v1alpha1.Repository, secrets client.Reader, allowInsecure bool) (Remote, error) {
	remote := Remote{URL: repo.Spec.URL}
	if err := CheckURL(repo.Spec.URL, allowInsecure); err != nil {
		return remote, err
	}
	err := withSecret(ctx, secrets, repo.Namespace, "spec.secretRef", repo.Spec.SecretRef, func(data map[string][]byte) (err error) {
		remote.Auth, err = ReadAuth(data, repo.Spec.URL)
		return err
	})
	if err != nil {
		return remote, err
	}
	err = withSecret(ctx, secrets, repo.Namespace, "spec.proxySecretRef", repo.Spec.ProxySecretRef, func(data map[string][]byte) (err error) {
		remote.Proxy, err = ReadProxy(data)
		return err
	})
	return remote, err
}

// withSecret reads the data of the Secret that a field names, if it names one.
func withSecret(ctx context.Context, secrets client.Reader, namespace, field string, ref *meta.LocalObjectReference, read func(map[string][]byte) error) error {
	if ref == nil {
		return nil
	}
	var secret corev1.Secret
	err := secrets.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, &secret)
	if apierrors.IsNotFound(err) {
		return errorf(Invalid, "Secret %s/%s is not there: create it, or name another in %s", namespace, ref.Name, field)
	}
	if err != nil {
		return fmt.Errorf("Secret %s/%s of %s cannot be read: %w", namespace, ref.Name, field, err)
	}
	if err := read(secret.Data); err != nil {
		return fmt.Errorf("Secret %s/%s: %w", namespace, ref.Name, err)
	}
	return nil
}
