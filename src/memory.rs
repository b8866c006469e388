//! Memory of this process: one block for what a short command needs, and mimalloc for all else.
//!
//! A command that finds nothing to do is over within milliseconds, and page faults were a quarter of
//! them: mimalloc keeps each size of each thread apart, so that one megabyte lies on hundreds of pages
//! (500 faults of 3 µs), or on five huge ones, which are cleared first (1.6 ms). Here it lies together,
//! on one or two huge pages. What is larger, and what comes later, is mimalloc's.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use mimalloc::MiMalloc;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
use rustix::thread::disable_transparent_huge_pages;

/// A huge page of x86-64, and of arm64 with pages of 4 KiB.
const HUGE_PAGE: usize = 2 << 20;

/// Size of the block. `up` of 50 services has 1 MiB at once, `config` of 140 files 1.7 MiB; what a
/// command that goes on for long keeps of it beyond its need is not worth a thought.
const BLOCK: usize = 2 * HUGE_PAGE;

/// Pieces are multiples of it, and aligned at least to it: what malloc promises on machines of 64 bits.
const UNIT: usize = 16;

/// Size of the largest pieces, and their largest alignment.
const LARGEST: usize = 256 << 10;

/// Classes of sizes, up to [`LARGEST`].
const CLASSES: usize = 52;

// All 0 until there is a block. Only `NEXT` changes after that, and what it hands out is new to all
// threads: no order is needed between them.
static START: AtomicUsize = AtomicUsize::new(0);
static NEXT: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Pieces that this thread gave back, by class: the address of the last one, which begins with the
    /// address of the one before it. 0 is none.
    static FREE: [Cell<usize>; CLASSES] = const { [const { Cell::new(0) }; CLASSES] };
}

/// The allocator of the process. Without a block, all of it is mimalloc's.
#[derive(Debug)]
pub struct Memory;

/// Gives the process its block. For commands: what is in the block stays resident, and a daemon would
/// keep it for months.
///
/// Call it before there are other threads.
#[expect(unsafe_code, reason = "maps memory")]
pub fn begin() {
    if END.load(Relaxed) != 0 {
        return;
    }
    // They are off in what a daemon starts.
    let _ = disable_transparent_huge_pages(false);
    let access = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let mapped = unsafe { mmap_anonymous(ptr::null_mut(), BLOCK + HUGE_PAGE, access, flags) };
    let Ok(mapped) = mapped else { return };
    let start = mapped.expose_provenance().next_multiple_of(HUGE_PAGE);
    // SAFETY: within that mapping, and it changes no contents. Where it fails, there are more faults.
    let _ =
        unsafe { madvise(ptr::with_exposed_provenance_mut(start), BLOCK, Advice::LinuxHugepage) };
    START.store(start, Relaxed);
    NEXT.store(start, Relaxed);
    END.store(start + BLOCK, Relaxed);
}

/// For a daemon: huge pages, which some machines give to everybody, cost it 8 MiB while it idles. What it
/// has of them it keeps, so call this before anything is allocated. Where it fails, all goes on with them.
pub fn forgo_huge_pages() {
    let _ = disable_transparent_huge_pages(true);
}

fn is_in_block(pointer: *mut u8) -> bool {
    (START.load(Relaxed)..END.load(Relaxed)).contains(&pointer.addr())
}

/// The class that holds `size` bytes, up to [`LARGEST`], and the size of its pieces: four sizes for
/// each doubling, so that at most a fifth of a piece is wasted, or 15 bytes.
fn class(size: usize) -> (usize, usize) {
    let units = size.div_ceil(UNIT).max(1);
    if units <= 4 {
        return (units - 1, units * UNIT);
    }
    let last = units - 1;
    let shift = last.ilog2() - 2;
    let quarter = last >> shift;
    (quarter + 4 * shift as usize, ((quarter + 1) << shift) * UNIT)
}

/// A piece for `layout`: one that this thread gave back, or the next of the block, if there is one.
#[expect(unsafe_code, reason = "reads what `give_back` wrote")]
fn piece(layout: Layout) -> Option<*mut u8> {
    if layout.size() > LARGEST || layout.align() > LARGEST {
        return None;
    }
    let (class, size) = class(layout.size());
    FREE.with(|free| {
        let last = ptr::with_exposed_provenance_mut::<usize>(free[class].get());
        if last.is_null() || layout.align() > UNIT {
            return next(size, layout.align());
        }
        // SAFETY: a piece that `give_back` wrote to, and that nobody has had since.
        free[class].set(unsafe { *last });
        Some(last.cast())
    })
}

/// The next piece of the block.
fn next(size: usize, align: usize) -> Option<*mut u8> {
    let mut start = 0;
    let update = |next: usize| {
        start = next.next_multiple_of(align);
        Some(start + size).filter(|end| *end <= END.load(Relaxed))
    };
    NEXT.fetch_update(Relaxed, Relaxed, update).ok()?;
    Some(ptr::with_exposed_provenance_mut(start))
}

/// Keeps a piece of `size` bytes for the next who asks on this thread.
///
/// # Safety
///
/// It is a piece of that size, and nobody uses it any more.
#[expect(unsafe_code, reason = "writes into what nobody uses any more")]
unsafe fn give_back(pointer: *mut u8, size: usize) {
    let (class, _) = class(size);
    #[expect(clippy::cast_ptr_alignment, reason = "pieces are aligned to `UNIT`")]
    let pointer = pointer.cast::<usize>();
    FREE.with(|free| {
        // SAFETY: the caller's, and a piece has room for an address.
        unsafe { *pointer = free[class].get() };
        free[class].set(pointer.expose_provenance());
    });
}

/// Not inlined, as it is called from everywhere: that was 2 MB of code.
// SAFETY: pieces overlap with nothing, as `NEXT` only grows and each list is one thread's; what is not
// in the block came from mimalloc, and goes back there.
#[expect(unsafe_code, reason = "an allocator is")]
unsafe impl GlobalAlloc for Memory {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promised us.
        piece(layout).unwrap_or_else(|| unsafe { MiMalloc.alloc(layout) })
    }

    #[inline(never)]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if is_in_block(pointer) {
            // SAFETY: a piece, as it is in the block, of the size that it was asked for with.
            unsafe { give_back(pointer, layout.size()) }
        } else {
            // SAFETY: as the caller promised us.
            unsafe { MiMalloc.dealloc(pointer, layout) }
        }
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(piece) = piece(layout) else {
            // SAFETY: as the caller promised us.
            return unsafe { MiMalloc.alloc_zeroed(layout) };
        };
        // SAFETY: a piece has at least that size.
        unsafe { piece.write_bytes(0, layout.size()) };
        piece
    }

    #[inline(never)]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !is_in_block(pointer) {
            // SAFETY: as the caller promised us.
            return unsafe { MiMalloc.realloc(pointer, layout, size) };
        }
        if size <= LARGEST && class(size) == class(layout.size()) {
            return pointer;
        }
        // SAFETY: the caller promised that such a layout is valid, and that `pointer` is of `layout`; the
        // new place is another one.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(pointer, new, layout.size().min(size));
                self.dealloc(pointer, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn classes_waste_little() {
        let mut before = (0, UNIT);
        for size in 1..=LARGEST {
            let (number, piece) = class(size);
            let next = (before.0 + 1, piece);
            assert!((number, piece) == before || number == next.0 && piece > before.1, "{size}");
            assert!(piece >= size && piece % UNIT == 0, "{size}: {piece}");
            assert!(piece - size < UNIT.max(piece / 5 + 1), "{size}: {piece}");
            before = (number, piece);
        }
        assert_eq!(before, (CLASSES - 1, LARGEST));
    }

    /// What was asked for, and the byte that it is full of.
    struct Held {
        pointer: usize,
        layout: Layout,
        fill: u8,
    }

    #[expect(unsafe_code, reason = "calls the allocator")]
    impl Held {
        fn new(layout: Layout, fill: u8) -> Self {
            // SAFETY: no size here is 0.
            let pointer = unsafe { Memory.alloc(layout) };
            assert!(!pointer.is_null() && pointer.addr().is_multiple_of(layout.align()));
            // SAFETY: just allocated with that size.
            unsafe { pointer.write_bytes(fill, layout.size()) };
            Self { pointer: pointer.expose_provenance(), layout, fill }
        }

        fn pointer(&self) -> *mut u8 {
            ptr::with_exposed_provenance_mut(self.pointer)
        }

        fn resize(&mut self, size: usize) {
            let kept = size.min(self.layout.size());
            // SAFETY: allocated with that layout, and `size` is not 0.
            let pointer = unsafe { Memory.realloc(self.pointer(), self.layout, size) };
            self.pointer = pointer.expose_provenance();
            self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
            self.check(kept);
            // SAFETY: it has that size now.
            unsafe { pointer.write_bytes(self.fill, size) };
        }

        fn check(&self, size: usize) {
            // SAFETY: all of it was written.
            let bytes = unsafe { std::slice::from_raw_parts(self.pointer(), size) };
            assert!(bytes.iter().all(|byte| *byte == self.fill), "{:?}", self.layout);
        }

        fn free(self) {
            self.check(self.layout.size());
            // SAFETY: allocated with that layout, and gone after this.
            unsafe { Memory.dealloc(self.pointer(), self.layout) };
        }
    }

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    /// One test, as all of a process have one block.
    #[test]
    fn hands_out_what_nobody_else_has() {
        let before = Held::new(layout(100, 8), 1);
        assert!(!is_in_block(before.pointer()), "there is no block yet");
        begin();
        let block = START.load(Relaxed);
        begin();
        assert_eq!(START.load(Relaxed), block, "there is one block");
        before.free();

        let held = Held::new(layout(100, 8), 2);
        let place = held.pointer;
        assert!(is_in_block(held.pointer()));
        held.free();
        #[expect(unsafe_code, reason = "calls the allocator")]
        // SAFETY: the size is not 0.
        let again = unsafe { Memory.alloc_zeroed(layout(110, 1)) };
        let again = Held { pointer: again.addr(), layout: layout(110, 1), fill: 0 };
        assert_eq!(again.pointer, place, "what is given back is used again");
        again.free();
        for (size, align, is_ours) in [
            (100, 16, true),
            (100, 32, true),
            (100, 4096, true),
            (LARGEST, 16, true),
            (LARGEST + 1, 1, false),
            (1, LARGEST * 2, false),
        ] {
            let other = Held::new(layout(size, align), 3);
            assert_eq!(is_in_block(other.pointer()), is_ours, "{size} {align}");
            other.free();
        }

        // More than the block has room for, from several threads, and freed by others.
        let (give, take) = mpsc::channel::<Held>();
        std::thread::scope(|scope| {
            for thread in 0..3_u8 {
                let give = give.clone();
                scope.spawn(move || {
                    for round in 1..3000_usize {
                        let size = 1 + (round * 7919 * (1 + usize::from(thread))) % 5000;
                        let mut held = Held::new(layout(size, 1 << (round % 6)), thread + 10);
                        held.resize(1 + (size * 13) % 7000);
                        if round % 3 == 0 { held.free() } else { give.send(held).unwrap() }
                    }
                });
            }
            drop(give);
            let mut held: Vec<Held> = take.iter().collect();
            assert!(held.iter().any(|it| is_in_block(it.pointer())));
            assert!(held.iter().any(|it| !is_in_block(it.pointer())));
            for it in &mut held {
                it.resize(it.layout.size() / 2 + 1);
            }
            held.into_iter().for_each(Held::free);
        });
    }
}
