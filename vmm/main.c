/* SPDX-License-Identifier: Apache-2.0 */
/* The command `bothy`. */
int main(void)
{
    return 0;
}
