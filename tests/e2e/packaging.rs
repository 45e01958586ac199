//! Files that ship beside the programs.

use yaml_rust2::YamlLoader;

const POD: &str = include_str!("../../packaging/pod.yaml");

/// The Pod of the reference document: it mounts the directory of the socket that is the default.
#[test]
fn the_pod_is_yaml_and_mounts_the_directory_of_the_default_socket() {
    let documents = YamlLoader::load_from_str(POD).unwrap();
    let [pod] = &documents[..] else {
        panic!("{} documents", documents.len());
    };
    assert_eq!(pod["apiVersion"].as_str(), Some("v1"));
    assert_eq!(pod["kind"].as_str(), Some("Pod"));
    assert_eq!(pod["metadata"]["name"].as_str(), Some("runtime"));
    let mount = &pod["spec"]["containers"][0]["volumeMounts"][0];
    let volume = &pod["spec"]["volumes"][0];
    assert_eq!(mount["name"], volume["name"]);
    assert_eq!(
        volume["hostPath"]["type"].as_str(),
        Some("DirectoryOrCreate")
    );
    let directory = std::path::Path::new(dfcache::DEFAULT_ENDPOINT).parent();
    for path in [&mount["mountPath"], &volume["hostPath"]["path"]] {
        assert_eq!(path.as_str().map(std::path::Path::new), directory);
    }
}
