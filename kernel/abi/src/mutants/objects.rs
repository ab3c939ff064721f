//! Mutants of what is waited for and shared: poll, epoll, pipes, sockets, event descriptors, memory.

list! {
    //MUTANTS
}
