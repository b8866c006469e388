//! Images that runs used.

use super::*;

#[tokio::test]
async fn images_are_remembered_by_revision_and_the_latest_come_first() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).await;
    let images = |names: &[(&str, &str)]| {
        names.iter().map(|(name, id)| ((*name).to_owned(), (*id).to_owned())).collect()
    };
    for (run, commit, of_it) in [
        (1, "a", vec![("web:1", "i1")]),
        (2, "b", vec![("web:2", "i2"), ("db:1", "d1")]),
        // Back again.
        (3, "a", vec![("web:1", "i1")]),
    ] {
        store.set_images(("web", run), &revision(commit), images(&of_it), at(run)).await.unwrap();
    }
    for seconds in [1, 2] {
        let image = ("alpine:3", "a3");
        store.used_image(("load", seconds), image, at(seconds)).await.unwrap();
    }
    let found = store.used_images().await.unwrap();
    let shown: Vec<String> = found
        .iter()
        .map(|it| format!("{} {} {} {}", it.job, it.run, it.reference, it.image))
        .collect();
    assert_eq!(
        shown,
        ["load 1 alpine:3 a3", "web 3 web:1 i1", "web 2 db:1 d1", "web 2 web:2 i2"],
        "an image that is used again and again is written down now and then"
    );
    assert!(store.knows_images("web", &revision("b")).await.unwrap());
    assert!(!store.knows_images("web", &revision("c")).await.unwrap());
}
